/** The screens of issuers and admins. Fetched when one of them is opened. */
import "../later.css";

export { Codes } from "./codes";
export { Incoming } from "./incoming";
export { Pacs } from "./pacs";
