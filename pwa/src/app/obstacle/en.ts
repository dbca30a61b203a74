/** What an app says that can't start. */
export const en = {
  "obstacle.insecure": "This address isn't safe",
  "obstacle.insecure.what":
    "The app encrypts images on this device. Browsers allow that only where the address begins with https://.",
  "obstacle.insecure.help": "Open the same address with https:// in front. If that doesn't work, tell the hospital.",
  "obstacle.old": "This browser can't run the app",
  "obstacle.old.what":
    "It lacks something that the app needs, because it is too old or because a setting took it away.",
  "obstacle.old.help":
    "Update the browser, or open the address in another one: Chrome, Edge, Firefox or Safari of the last two years.",
  "obstacle.blocked": "This browser may not store anything",
  "obstacle.blocked.what":
    "The app keeps images, encrypted, until they have arrived. In this browser websites may not store anything.",
  "obstacle.blocked.help":
    "Allow cookies and website data for this address in the browser's settings, leave the private window if this is one, and reload.",
  "obstacle.full": "This device is full",
  "obstacle.full.what": "There is no room left for what the app has to write down. Nothing that waits here is lost.",
  "obstacle.full.help": "Free some space on the device, then reload.",
  "obstacle.broken": "This browser's storage doesn't open",
  "obstacle.broken.what": "What the app has stored here can't be reached at the moment.",
  "obstacle.broken.help":
    "Close the other tabs of the app, restart the browser, then reload. If it stays so, remove what is stored here, and send the images once more from where you have them.",
  "obstacle.silent": "This browser's storage doesn't answer",
  "obstacle.silent.what": "Part of the browser still holds what the app has stored here. Nothing of it is lost.",
  "obstacle.silent.help":
    "Close the other tabs of the app, then reload. If it stays so, close this one too, and restart the browser.",
  "obstacle.key": "What is stored here can't be read any more",
  "obstacle.key.what":
    "The browser has lost the key of what the app has stored on this device. Nobody can open it, and nothing more is sent from here.",
  "obstacle.key.help":
    "Whatever had arrived is safe at the hospital. Remove what is stored here, then send the rest once more from where you have it.",
  "obstacle.newer": "A newer version of the app was here",
  "obstacle.newer.what": "What is stored on this device was written by a newer version than this one.",
  "obstacle.newer.help": "Close all tabs of the app, then open it again: it fetches the newer version.",
  "obstacle.part": "Part of the app didn't load",
  "obstacle.part.what":
    "The connection broke while the app was loading, or the hospital has a newer version. What waits on this device is kept.",
  "obstacle.part.help": "Check the connection, then reload.",
  "obstacle.failed": "The app has stopped",
  "obstacle.failed.what": "Something went wrong in the app itself. What waits on this device is kept.",
  "obstacle.failed.help": "Reload. If it happens again, tell the hospital what you did before.",
  "obstacle.reload": "Reload",
  "obstacle.remove": "Remove what is stored here",
  "obstacle.remove.text":
    "Uploads, copies, receipts and sign-in of this browser are deleted. What is at the hospital stays there.",
  "obstacle.remove.yes": "Remove it",
  "obstacle.remove.no": "Keep it",
};

export type ObstacleKey = keyof typeof en;
