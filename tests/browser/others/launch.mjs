// The browser that this run is about, and what is picked in it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "../gateway.mjs";
import { Puppet } from "./puppet.mjs";
import { WebKit } from "./webkit.mjs";

export const BROWSER = process.env.RELAYPACS_BROWSER ?? "firefox";

export function launch() {
  return BROWSER === "webkit" ? new WebKit() : new Puppet(BROWSER);
}

/** Files that lie in a folder. */
export function filesOf(folder) {
  const paths = readdirSync(folder).map((name) => join(folder, name));
  const contents = paths.map((path) => readFileSync(path));
  return { paths, bytes: contents.reduce((sum, { length }) => sum + length, 0), digests: contents.map(sha256).sort() };
}
