/** Settings, the lock and installing: not in the first load, and fetched before they are needed, for there may be no line then. */
import "../later.css";

export { InstallCard } from "./installing";
export { Lock } from "./lock";
export { Settings } from "./settings";
