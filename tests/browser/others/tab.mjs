// A tab of any browser, by as little as all their drivers can: what stands on the screen is found as people find it.

/** Wait until it is so, wherever that shows. @param now what to say if it never is */
export async function eventually(what, wanted, within_ms = 20_000, now = () => "") {
  const end = Date.now() + within_ms;
  while (!(await wanted())) {
    if (Date.now() > end) throw new Error(`it did not happen in time: ${what}; ${await now()}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/**
 * A driver brings `goto(url)`, `reload()`, `run(expression)` with what it gives, awaited, and `size(width, height)`; of
 * the element that an expression gives `press(expression)`, `type(expression, text)` and `give(expression, paths)`.
 */
export class Tab {
  evaluate(act, ...values) {
    return this.run(calling(act, values));
  }

  async click(name) {
    const found = calling(button, [name.source]);
    await eventually(`there is a button ${name}`, () => this.run(`${found} !== null`), undefined, () => this.text());
    await this.press(found);
  }

  fill(label, text) {
    return this.type(calling(field, [label]), text);
  }

  /** Past the system's picker, which no driver can work. */
  pick(paths) {
    return this.give(`document.querySelector("input[type=file][multiple]:not([webkitdirectory])")`, paths);
  }

  pickPicture(path) {
    return this.give(`document.querySelector("input[type=file][accept='image/*']")`, [path]);
  }

  /** Wait until it can be read on the screen. */
  reads(text, within_ms) {
    const now = () => this.text().catch(() => ""); // a page that goes has no text any more
    return eventually(`the screen says ${text}`, async () => text.test(await now()), within_ms, () => this.text());
  }

  text() {
    return this.run("document.body.innerText");
  }
}

function calling(act, values) {
  return `(${act})(...${JSON.stringify(values)})`;
}

// In the page:

function button(pattern) {
  const wanted = new RegExp(pattern);
  const name = (one) => (one.getAttribute("aria-label") ?? one.textContent).trim();
  return [...document.querySelectorAll("button, summary, a[href]")].find((one) => one.getClientRects().length > 0 && wanted.test(name(one))) ?? null;
}

function field(label) {
  return [...document.querySelectorAll("label")].find((one) => one.textContent.trim().startsWith(label))?.control ?? null;
}
