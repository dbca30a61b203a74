// `make screenshots`: every scene at two widths, light and dark, into the folder that is named.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { closeAll } from "../stage.mjs";
import { Hospital } from "./hospital.mjs";
import { Stage, walk } from "./scenes.mjs";
import { words } from "./words.mjs";

const [folder, language = "en"] = process.argv.slice(2);
const WIDTHS = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 800 } };

const LONGEST = 1500;

/** Of the whole page, so that what sticks to the screen's edge is where it is at the end of it. */
async function wholeLength(page) {
  const length = await page.evaluate(() => document.scrollingElement.scrollHeight);
  return Math.min(LONGEST, Math.max(WIDTHS.phone.height, length));
}

mkdirSync(folder, { recursive: true });
const hospital = new Hospital();
try {
  await hospital.open();
  const stage = new Stage(hospital, await words(language), { locale: { en: "en-GB", de: "de-DE" }[language] });
  await walk(stage, async ({ name, title }, page) => {
    for (const [device, size] of Object.entries(WIDTHS)) {
      await page.setViewportSize(size);
      await page.mouse.move(0, 0);
      await page.evaluate(() => scrollTo(0, 0));
      if (device === "phone" && !(await page.locator("dialog").count())) await page.setViewportSize({ ...size, height: await wholeLength(page) });
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.screenshot({ path: join(folder, `${name}-${device}-${colorScheme}.png`), animations: "disabled", caret: "hide" });
      }
    }
    await page.setViewportSize(WIDTHS.phone);
    console.log(`${name}\t${title}`);
  });
} finally {
  await closeAll();
  hospital.close();
}
