/** In place of js-base64, of which tus-js-client needs this alone. */
export const Base64 = {
  encode: (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text))),
};
