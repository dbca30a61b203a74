import type { SettingsKey } from "./en";

export const de: Record<SettingsKey, string> = {
  "settings.title": "Einstellungen",
  "settings.account": "Konto",
  "settings.as": "Angemeldet als {name}",
  "settings.out": "Abmelden",
  "settings.out.note": "Begonnene Sendungen werden fortgesetzt.",
  "settings.in": "Anmelden",
  "settings.h2":
    "Das Gateway ist über HTTP/2 (h2) erreichbar: Alles teilt sich eine Verbindung, was bei schlechter Leitung langsam ist. Bitte sagen Sie es der IT des Krankenhauses.",
  "settings.wordless":
    "Die Texte dieser Sprache wurden nicht geladen. Wählen Sie sie noch einmal, wenn eine Verbindung besteht.",
  "settings.language": "Sprache",
  "settings.device": "Dieses Gerät",
  "settings.used": "Kopien von Bildern auf diesem Gerät: {size}.",
  "settings.unused": "Auf diesem Gerät liegen keine Kopien von Bildern.",
  "settings.ttl": "Eine Kopie wird höchstens {time} aufbewahrt.",
  "settings.privacy": "Fragen zum Datenschutz",
  "settings.kept": "Der Browser löscht sie nicht von sich aus.",
  "settings.unkept":
    "Der Browser kann sie löschen, wenn der Speicher knapp wird. Ist die App installiert, geschieht das in der Regel nicht. Gesendetes ist nicht betroffen.",
  "settings.lock":
    "Kopien auf diesem Gerät sind verschlüsselt. Sie sind nur so sicher wie das Gerät: Nutzen Sie seine Sperre und seine Verschlüsselung.",
  "settings.remove": "Alles von diesem Gerät löschen",
  "settings.remove.sure": "Alles löschen?",
  "settings.remove.text":
    "Alle Sendungen, Kopien, Empfangsbestätigungen und Anmeldungen werden von diesem Gerät gelöscht. Was noch nicht gesendet ist, geht verloren.",
  "settings.remove.yes": "Alles löschen",

  "lock.title": "Gesperrt",
  "lock.lead": "Sendungen laufen im Hintergrund weiter.",
  "lock.pin": "PIN",
  "lock.open": "Entsperren",
  "lock.wrong": "Falsche PIN.",
  "lock.wait": "Nächster Versuch in {time}.",
  "lock.forgotten": "PIN vergessen?",
  "lock.forgotten.text":
    "Ohne die PIN kann niemand die App öffnen. Sie können alles löschen und neu beginnen; was noch nicht gesendet ist, geht verloren.",
  "lock.setting": "App-Sperre",
  "lock.is": "Nach 5 Minuten ohne Eingabe fragt die App nach der PIN und zeigt keine Namen.",
  "lock.isnt":
    "Nach 5 Minuten ohne Eingabe nach einer PIN fragen, damit niemand Namen liest, der das Gerät in die Hand nimmt.",
  "lock.limits": "Sie verbirgt, was auf dem Bildschirm steht. Die Gerätesperre ersetzt sie nicht.",
  "lock.on": "Sperre einschalten",
  "lock.off": "Sperre ausschalten",
  "lock.now": "Jetzt sperren",
  "lock.new": "Neue PIN, 4 bis 12 Ziffern",
  "lock.again": "PIN wiederholen",
  "lock.digits": "Eine PIN hat 4 bis 12 Ziffern.",
  "lock.differ": "Die beiden PINs stimmen nicht überein.",

  "install.title": "App installieren",
  "install.lead": "Sie öffnet sich vom Startbildschirm aus, auch ohne Verbindung.",
  "install.share":
    "Tippen Sie auf das Teilen-Symbol (Quadrat mit Pfeil nach oben), dann auf „Zum Home-Bildschirm“. Die App auf dem Home-Bildschirm hat eine eigene Liste von Sendungen.",
  "install.go": "Installieren",
  "install.no": "Jetzt nicht",
  "install.seen": "Verstanden",
};
