import type { SettingsKey } from "./en";

export const de: Record<SettingsKey, string> = {
  "settings.title": "Einstellungen",
  "settings.account": "Konto",
  "settings.as": "Angemeldet als {name}",
  "settings.out": "Abmelden",
  "settings.out.note": "Begonnene Sendungen gehen weiter.",
  "settings.in": "Anmelden",
  "settings.language": "Sprache",
  "settings.device": "Dieses Gerät",
  "settings.used": "{size} belegt mit Bildern, die unterwegs sind.",
  "settings.ttl": "Eine Kopie bleibt höchstens {time}.",
  "settings.privacy": "Fragen zum Datenschutz",
  "settings.kept": "Der Browser hat zugesagt, sie nicht von selbst zu löschen.",
  "settings.unkept":
    "Der Browser darf sie löschen, wenn der Platz knapp wird. Ist die App installiert, verspricht er meist, es nicht zu tun. Gesendetes ist davon nicht betroffen.",
  "settings.lock":
    "Kopien auf diesem Gerät sind verschlüsselt. Sie sind nur so sicher wie das Gerät: nutzen Sie seine Sperre und seine Verschlüsselung.",
  "settings.remove": "Alles von diesem Gerät entfernen",
  "settings.remove.sure": "Alles entfernen?",
  "settings.remove.text":
    "Alle Sendungen, Kopien, Quittungen und Anmeldungen verschwinden von diesem Gerät. Was noch nicht gesendet ist, geht verloren.",
  "settings.remove.yes": "Alles entfernen",

  "lock.title": "Gesperrt",
  "lock.lead": "Gesendet wird inzwischen weiter.",
  "lock.pin": "PIN",
  "lock.open": "Entsperren",
  "lock.wrong": "Das ist nicht die PIN.",
  "lock.wait": "Nächster Versuch in {time}.",
  "lock.forgotten": "PIN vergessen?",
  "lock.forgotten.text":
    "Ohne sie kann niemand die App öffnen. Sie können alles entfernen und neu beginnen; was noch nicht gesendet ist, geht verloren.",
  "lock.setting": "App-Sperre",
  "lock.is": "Nach 5 Minuten ohne Berührung fragt die App nach ihrer PIN und zeigt keine Namen.",
  "lock.isnt":
    "Nach 5 Minuten ohne Berührung nach einer PIN fragen, damit niemand Namen liest, der das Gerät in die Hand nimmt.",
  "lock.limits": "Sie verbirgt, was auf dem Bildschirm steht. Die Gerätesperre ersetzt sie nicht.",
  "lock.on": "Sperre einschalten",
  "lock.off": "Sperre ausschalten",
  "lock.now": "Jetzt sperren",
  "lock.new": "Neue PIN, 4 bis 12 Ziffern",
  "lock.again": "Dieselbe PIN noch einmal",
  "lock.digits": "Eine PIN hat 4 bis 12 Ziffern.",
  "lock.differ": "Das sind zwei verschiedene PINs.",

  "install.title": "App auf diesem Gerät behalten",
  "install.lead": "Sie öffnet sich vom Startbildschirm aus, auch ohne Verbindung.",
  "install.share":
    "Tippen Sie auf das Teilen-Symbol (Quadrat mit Pfeil nach oben), dann auf „Zum Home-Bildschirm“. Die App auf dem Home-Bildschirm hat eine eigene Liste.",
  "install.go": "Installieren",
  "install.no": "Jetzt nicht",
  "install.seen": "Verstanden",
};
