import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { closeAll } from "../stage.mjs";
import { Hospital } from "./hospital.mjs";
import { SCENES, Stage, walk } from "./scenes.mjs";
import { pseudo, speakPseudo, words } from "./words.mjs";

const hospital = new Hospital();

before(() => hospital.open());
after(async () => {
  await closeAll();
  hospital.close();
});

/** What sticks out of the screen, or out of what it is in; and texts that no table holds. */
function faults() {
  const found = [];
  const name = (element) => `${element.localName}.${element.className?.baseVal ?? element.className}: ${element.textContent.slice(0, 60)}`;
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} px wide`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || element.closest(".aloud, noscript, option") || !element.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) {
      if (box.left < -0.5 || box.right > innerWidth + 0.5) found.push(`cut by the screen: ${name(element)}`);
      const around = element.closest("button, .button, .choice span, .badge, .tag, .notice, .card, .entry");
      const edge = around?.getBoundingClientRect();
      if (edge && (box.left < edge.left - 0.5 || box.right > edge.right + 0.5 || box.top < edge.top - 1 || box.bottom > edge.bottom + 1)) found.push(`sticks out: ${name(element)}`);
    }
  }
  for (const element of document.querySelectorAll("button, a, h1, h2, h3, legend, label > span, dt, summary")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("");
    if (/[a-z]{3}/.test(own) && !own.includes("[") && element.checkVisibility() && !element.closest(".aloud")) found.push(`in no table: ${name(element)}`);
  }
  return [...new Set(found)];
}

/** What isn't the app's own: hospitals, patients, file names, and what the gateway calls things. */
const FOREIGN = /St\. Elsewhere|Klinikum Nord|Children's Hospital|RelayPACS|Ngata|Müller|Okonkwo|Zhang|Torres|Haddad|English|Deutsch|CT |MRT |Thorax |study_/;

async function longer(width) {
  const found = [];
  const seen = new Set();
  const stage = new Stage(hospital, await words("en", pseudo), { prepare: speakPseudo });
  await walk(stage, async ({ name }, page) => {
    seen.add(name);
    await page.setViewportSize({ width, height: 700 });
    found.push(...(await page.evaluate(faults)).filter((text) => !(text.startsWith("in no table") && FOREIGN.test(text))).map((text) => `${name}: ${text}`));
  });
  assert.equal(seen.size, SCENES.length);
  return found;
}

test("with words two fifths longer, at 320 px, nothing is cut, nothing scrolls sideways, and no text is outside the tables", async () => {
  assert.deepEqual(await longer(320), []);
});
