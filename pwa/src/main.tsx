import { render } from "preact";
import { begin } from "./app/begin";
import { language, speak } from "./app/i18n";
import { listenForInstall } from "./app/install";
import { Shell } from "./app/shell";
import { register } from "./app/update";

const root = document.getElementById("app");
if (!root) throw new Error("the page has no place for the app");
listenForInstall();
void Promise.all([speak(language.value), begin()]).then(() => {
  render(<Shell />, root);
  return register();
});
