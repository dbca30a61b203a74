/** In place of url-parse, of which tus-js-client needs this alone: the browser has it. A base may be a path of this origin. */
export default function Address(link: string, base: string): URL {
  return new URL(link, new URL(base, self.location.href));
}
