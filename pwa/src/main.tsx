import { type ComponentChild, render } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { begin } from "./app/begin";
import { language, speak } from "./app/i18n";
import { listenForInstall } from "./app/install";
import { Shell } from "./app/shell";
import { register } from "./app/update";
import { twice } from "./twice";

const root = document.getElementById("app") as HTMLElement;

async function tell(error: unknown): Promise<void> {
  // Where even that doesn't come, the page says by itself that the app doesn't start.
  const { tellObstacle } = await twice(() => import("./app/obstacle"));
  await tellObstacle(root, error);
}

function Guarded(): ComponentChild {
  const [error] = useErrorBoundary(tell);
  return error ? null : <Shell />;
}

async function start(): Promise<void> {
  // The page itself would not miss them; those that send would.
  if (!crypto.subtle || !navigator.locks || !AbortSignal.any) throw new Error("something is missing");
  listenForInstall();
  await Promise.all([speak(language.value), begin()]);
  render(<Guarded />, root);
  await register();
}

start().catch(tell);
