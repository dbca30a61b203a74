/** Words of settings, the app lock and installing. */
export const en = {
  "settings.title": "Settings",
  "settings.account": "Account",
  "settings.as": "Signed in as {name}",
  "settings.out": "Sign out",
  "settings.out.note": "Uploads that have begun go on.",
  "settings.in": "Sign in",
  "settings.language": "Language",
  "settings.device": "This device",
  "settings.used": "{size} used for images that are on their way.",
  "settings.ttl": "A copy stays for {time} at most.",
  "settings.privacy": "Questions about data protection",
  "settings.kept": "The browser has promised not to clear it by itself.",
  "settings.unkept":
    "The browser may clear it when space gets short. Adding the app to the device mostly makes it promise not to. Sent uploads are not affected.",
  "settings.lock":
    "Copies on this device are encrypted. They are only as safe as the device: use its lock and its encryption.",
  "settings.remove": "Remove everything from this device",
  "settings.remove.sure": "Remove everything?",
  "settings.remove.text":
    "All uploads, copies, receipts and sign-ins go from this device. What has not been sent yet is lost.",
  "settings.remove.yes": "Remove everything",

  "lock.title": "Locked",
  "lock.lead": "Uploads go on meanwhile.",
  "lock.pin": "PIN",
  "lock.open": "Unlock",
  "lock.wrong": "That is not the PIN.",
  "lock.wait": "Next try in {time}.",
  "lock.forgotten": "PIN forgotten?",
  "lock.forgotten.text":
    "Nobody can open the app without it. You can remove everything and begin anew; what has not been sent yet is lost.",
  "lock.setting": "App lock",
  "lock.is": "After 5 minutes without a touch the app asks for its PIN and shows no names.",
  "lock.isnt":
    "Let the app ask for a PIN after 5 minutes without a touch, so that nobody who picks up the device reads names.",
  "lock.limits": "It hides what is on the screen. It takes the place of no device lock.",
  "lock.on": "Turn on the lock",
  "lock.off": "Turn off the lock",
  "lock.now": "Lock now",
  "lock.new": "New PIN, 4 to 12 digits",
  "lock.again": "The same PIN again",
  "lock.digits": "A PIN has 4 to 12 digits.",
  "lock.differ": "These are two different PINs.",

  "install.title": "Keep the app on this device",
  "install.lead": "It opens from the home screen, also without a connection.",
  "install.share":
    "Tap the share icon (a square with an arrow up), then “Add to Home Screen”. The app on the home screen has a list of its own.",
  "install.go": "Install",
  "install.no": "Not now",
  "install.seen": "Got it",
};

export type SettingsKey = keyof typeof en;
