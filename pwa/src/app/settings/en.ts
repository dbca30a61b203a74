/** Words of settings, the app lock and installing. */
export const en = {
  "settings.title": "Settings",
  "settings.account": "Account",
  "settings.as": "Signed in as {name}",
  "settings.out": "Sign out",
  "settings.out.note": "Uploads already started continue.",
  "settings.in": "Sign in",
  "settings.h2":
    "The gateway is reached by HTTP/2 (h2): everything shares one connection, which is slow on a bad line. Please tell the hospital's IT.",
  "settings.wordless": "The words of this language didn't load. Choose it again when there is a connection.",
  "settings.language": "Language",
  "settings.device": "This device",
  "settings.used": "Copies of images on this device: {size}.",
  "settings.unused": "There are no copies of images on this device.",
  "settings.ttl": "A copy is kept for {time} at most.",
  "settings.privacy": "Questions about data protection",
  "settings.kept": "The browser won't delete them on its own.",
  "settings.unkept":
    "The browser may delete them when storage runs low. Installing the app usually prevents this. Sent uploads are not affected.",
  "settings.lock":
    "Copies on this device are encrypted. They are only as safe as the device: use its lock and its encryption.",
  "settings.remove": "Delete everything from this device",
  "settings.remove.sure": "Delete everything?",
  "settings.remove.text":
    "All uploads, copies, receipts and sign-ins are deleted from this device. What has not been sent yet is lost.",
  "settings.remove.yes": "Delete everything",

  "lock.title": "Locked",
  "lock.lead": "Uploads continue in the background.",
  "lock.pin": "PIN",
  "lock.open": "Unlock",
  "lock.wrong": "Wrong PIN.",
  "lock.wait": "Try again in {time}.",
  "lock.forgotten": "Forgot the PIN?",
  "lock.forgotten.text":
    "Nobody can open the app without it. You can delete everything and start over; what has not been sent yet is lost.",
  "lock.setting": "App lock",
  "lock.is": "After 5 minutes without activity the app asks for the PIN and shows no names.",
  "lock.isnt": "Ask for a PIN after 5 minutes without activity, so that nobody who picks up the device can read names.",
  "lock.limits": "It hides what is on the screen. It doesn't replace the device lock.",
  "lock.on": "Turn on app lock",
  "lock.off": "Turn off app lock",
  "lock.now": "Lock now",
  "lock.new": "New PIN, 4 to 12 digits",
  "lock.again": "Repeat the PIN",
  "lock.digits": "A PIN has 4 to 12 digits.",
  "lock.differ": "The two PINs don't match.",

  "install.title": "Install the app",
  "install.lead": "It opens from the home screen, even without a connection.",
  "install.share":
    "Tap the share icon (a square with an arrow up), then “Add to Home Screen”. The app on the home screen has its own list of uploads.",
  "install.go": "Install",
  "install.no": "Not now",
  "install.seen": "Got it",
};

export type SettingsKey = keyof typeof en;
