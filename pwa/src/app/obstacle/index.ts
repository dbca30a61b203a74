/** The screens of an app that can't start: fetched only then. */
export { tellObstacle } from "./obstacle";
