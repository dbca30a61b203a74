/**
 * Where the gateway is: at the top of an origin, or below a path that a proxy strips. The page, its workers (below
 * `assets/`) and the service worker are all from there.
 */
const BELOW = /(assets\/|src\/.*)?[^/]*$/;

/** @param path from the gateway's root, `/healthz`; an address of its own stays as it is */
export function at(path: string): string {
  if (!path.startsWith("/")) return path;
  return self.location.origin + self.location.pathname.replace(BELOW, "") + path.slice(1);
}
