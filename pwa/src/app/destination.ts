/** Where a review would go, as far as that is known. */
import { decided } from "./draft";
import { type Endpoint, endpoints } from "./endpoints";
import { type Grant, grant } from "./grants";

export type Destination = Grant | Endpoint;

/** By the code, if there is one; else the account's, the wanted one or its default. null: it isn't known yet, or there is none. */
export function destination(): Destination | null {
  const code = grant.value;
  if (code) return code.inspected ? code : null;
  const known = endpoints.value;
  const wanted = decided.value?.endpoint;
  return known.find((one) => one.endpoint_id === wanted) ?? known.find((one) => one.default) ?? known[0] ?? null;
}
