// `make screenshots`: every scene at two widths, light and dark, into the folder that is named.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { closeAll } from "../stage.mjs";
import { Hospital } from "./hospital.mjs";
import { Stage, walk } from "./scenes.mjs";
import { words } from "./words.mjs";

const [folder, language = "en"] = process.argv.slice(2);
const WIDTHS = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 800 } };

mkdirSync(folder, { recursive: true });
const hospital = new Hospital();
try {
  await hospital.open();
  const stage = new Stage(hospital, await words(language));
  await walk(stage, async ({ name }, page) => {
    for (const [device, size] of Object.entries(WIDTHS)) {
      await page.setViewportSize(size);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.screenshot({ path: join(folder, `${name}-${device}-${colorScheme}.png`), fullPage: device === "phone", animations: "disabled", caret: "hide" });
      }
    }
    await page.setViewportSize(WIDTHS.phone);
    console.log(name);
  });
} finally {
  await closeAll();
  hospital.close();
}
