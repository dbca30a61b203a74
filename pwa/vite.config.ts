import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const root = fileURLToPath(new URL(".", import.meta.url));
const outDir = join(root, "../gateway/web/static");

/** Tells the service worker what the offline shell is made of: the list takes the place of `__SHELL__` in it. */
function shellList(): Plugin {
  return {
    name: "shell-list",
    apply: "build",
    closeBundle() {
      const assets = readdirSync(join(outDir, "assets")).filter((name) => !name.endsWith(".map"));
      const files = ["./", "./manifest.webmanifest", ...assets.map((name) => `./assets/${name}`)];
      const version = createHash("sha256")
        .update(readFileSync(join(outDir, "index.html")))
        .update(assets.sort().join())
        .digest("hex")
        .slice(0, 12);
      const path = join(outDir, "sw.js");
      const code = readFileSync(path, "utf8");
      if (!code.includes("__SHELL__")) throw new Error("sw.js asks for no shell list");
      writeFileSync(path, code.replace(/["'`]__SHELL__["'`]/, JSON.stringify(JSON.stringify({ version, files }))));
    },
  };
}

/** The app, and with `--mode sw` its service worker: one classic script, which every browser takes. */
export default defineConfig(({ mode }) => ({
  root,
  base: "./", // the app may be below a path
  publicDir: mode === "sw" ? false : "public",
  // tus-js-client brings libraries for what every browser has.
  resolve: {
    alias: {
      "js-base64": join(root, "src/upload/native/base64.ts"),
      "url-parse": join(root, "src/upload/native/url.ts"),
    },
  },
  build: {
    outDir,
    emptyOutDir: mode !== "sw",
    target: "es2022",
    assetsInlineLimit: 0, // the policy knows no data: addresses
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions:
      mode === "sw"
        ? { input: join(root, "src/sw/sw.ts"), output: { format: "iife" as const, entryFileNames: "sw.js" } }
        : {
            input: join(root, "index.html"),
            // What the page needs before its first screen is one file: small ones are packed less well.
            output: { codeSplitting: { groups: [{ name: "first", tags: ["$initial"] }] } },
          },
  },
  worker: {
    format: "es" as const,
    rollupOptions: {
      // WebKit runs a worker's script once more when a later chunk imports it: what they share is in a file beside it.
      output: { codeSplitting: { groups: [{ name: "shared", test: /^(?!.*\/worker\.ts)/, tags: ["$initial"] }] } },
    },
  },
  plugins: mode === "sw" ? [shellList()] : [],
}));
