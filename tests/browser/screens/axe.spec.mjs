import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { closeAll } from "../stage.mjs";
import { Hospital } from "./hospital.mjs";
import { SCENES, Stage, walk } from "./scenes.mjs";
import { words } from "./words.mjs";

const AXE = readFileSync(createRequire(new URL("../../node/package.json", import.meta.url)).resolve("axe-core/axe.min.js"), "utf8");
const hospital = new Hospital();

before(() => hospital.open());
after(async () => {
  await closeAll();
  hospital.close();
});

async function violations(page) {
  // Through the debugger: the app's policy lets no script in. It stays in a page until that is loaded anew.
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  // Of a long list the first rows: the others are made alike.
  // Style sheets aren't fetched once more: no rule that runs reads them.
  const found = await page.evaluate(() => globalThis.axe.run({ exclude: [[".list > li:nth-child(n+9)"]] }, { resultTypes: ["violations", "incomplete"], preload: false }));
  const told = ({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target.join(" ")}: ${failureSummary?.split("\n").slice(1).join(";")}`);
  assert.ok(found.passes.length > 10, "it looked");
  return found.violations.flatMap(told);
}

/** In a person's own colours: what is chosen and looks like its neighbours, and what has no edge. */
async function unseen(page) {
  await page.emulateMedia({ forcedColors: "active" });
  const found = await page.evaluate(() => {
    const looks = (element) => {
      const { outlineStyle, borderBottomColor, borderBottomWidth } = getComputedStyle(element);
      return [outlineStyle, borderBottomColor, borderBottomWidth].join();
    };
    const alike = (one) => [...document.querySelectorAll(`.${one.parentElement.className} > button`)].some((other) => other !== one && looks(other) === looks(one));
    const chosen = [...document.querySelectorAll("button[aria-current], button[aria-pressed=true]")].filter(alike);
    const edgeless = [...document.querySelectorAll("progress, .notice")].filter((one) => getComputedStyle(one).borderTopWidth === "0px");
    return [...chosen, ...edgeless].map((one) => one.outerHTML.slice(0, 80));
  });
  await page.emulateMedia({ forcedColors: "none" });
  return found;
}

/** The browser's own setting for the size of letters, which em in media queries follows, too; 16 is usual. */
async function letters(page, standard) {
  const debug = await page.context().newCDPSession(page);
  await debug.send("Page.setFontSizes", { fontSizes: { standard, fixed: (standard * 13) / 16 } });
  await debug.detach();
}

/** What reaches beyond the screen or the card it is in: WCAG 2.2, 1.4.4 and 1.4.10. */
async function beyond() {
  // The app hears of the new width with a frame, and draws with the next.
  for (let frames = 0; frames < 2; frames++) await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const root = document.scrollingElement;
  const found = root.scrollWidth > root.clientWidth ? [`the page is ${root.scrollWidth} px wide`] : [];
  for (const element of document.querySelectorAll("#app *, dialog *")) {
    if (element.closest(".aloud, .unseen, option, svg, #late") || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    const around = element.parentElement.closest("button, .card, .entry, .notice, .picker, dialog, main")?.getBoundingClientRect();
    const [left, right] = [Math.max(0, around?.left ?? 0), Math.min(innerWidth, around?.right ?? innerWidth)];
    // Rows of buttons without an edge begin a little before what they are in.
    if (!element.matches(".row.tight") && box.width > 1 && (box.left < left - 10.5 || box.right > right + 0.5)) found.push(`${element.localName}.${element.className}: ${element.textContent.slice(0, 40)}`);
  }
  return found;
}

test("axe finds nothing on any screen, light or dark, at 360 and at 1280 px; in forced colours all is seen that matters; with letters twice as large nothing sticks out", async () => {
  const found = [];
  const seen = new Set();
  await walk(new Stage(hospital, await words()), async ({ name }, page) => {
    seen.add(name);
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(colorScheme === "light" ? { width: 360, height: 740 } : { width: 1280, height: 800 });
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      found.push(...(await violations(page)).map((text) => `${name}, ${colorScheme}: ${text}`));
    }
    found.push(...(await unseen(page)).map((text) => `${name}, forced colours: ${text}`));
    await letters(page, 32);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      found.push(...(await page.evaluate(beyond)).map((text) => `${name}, letters twice as large at ${width} px: ${text}`));
    }
    await letters(page, 16);
    await page.setViewportSize({ width: 360, height: 740 });
  });
  assert.equal(seen.size, SCENES.length);
  assert.deepEqual(found, []);
});
