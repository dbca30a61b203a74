import type { ObstacleKey } from "./en";

export const de: Record<ObstacleKey, string> = {
  "obstacle.insecure": "Diese Adresse ist nicht sicher",
  "obstacle.insecure.what":
    "Die App verschlüsselt Bilder auf diesem Gerät. Browser erlauben das nur, wenn die Adresse mit https:// beginnt.",
  "obstacle.insecure.help":
    "Öffnen Sie dieselbe Adresse mit https:// davor. Geht das nicht, sagen Sie es dem Krankenhaus.",
  "obstacle.old": "In diesem Browser läuft die App nicht",
  "obstacle.old.what":
    "Ihm fehlt etwas, das die App braucht: weil er zu alt ist, oder weil eine Einstellung es abschaltet.",
  "obstacle.old.help":
    "Aktualisieren Sie den Browser, oder öffnen Sie die Adresse in einem anderen: Chrome, Edge, Firefox oder Safari aus den letzten zwei Jahren.",
  "obstacle.blocked": "Dieser Browser darf nichts speichern",
  "obstacle.blocked.what":
    "Die App bewahrt Bilder verschlüsselt auf, bis sie angekommen sind. In diesem Browser dürfen Websites nichts speichern.",
  "obstacle.blocked.help":
    "Erlauben Sie in den Einstellungen des Browsers Cookies und Websitedaten für diese Adresse, verlassen Sie gegebenenfalls das private Fenster, und laden Sie neu.",
  "obstacle.full": "Dieses Gerät ist voll",
  "obstacle.full.what":
    "Für das, was die App aufschreiben muss, ist kein Platz mehr. Nichts, was hier wartet, ist verloren.",
  "obstacle.full.help": "Schaffen Sie Platz auf dem Gerät und laden Sie dann neu.",
  "obstacle.broken": "Der Speicher dieses Browsers lässt sich nicht öffnen",
  "obstacle.broken.what": "Was die App hier gespeichert hat, ist im Moment nicht zu erreichen.",
  "obstacle.broken.help":
    "Schließen Sie andere Tabs der App, starten Sie den Browser neu und laden Sie dann neu. Bleibt es dabei, entfernen Sie, was hier gespeichert ist, und senden Sie die Bilder noch einmal von dort, wo Sie sie haben.",
  "obstacle.silent": "Der Speicher dieses Browsers antwortet nicht",
  "obstacle.silent.what":
    "Ein Teil des Browsers hält noch fest, was die App hier gespeichert hat. Nichts davon ist verloren.",
  "obstacle.silent.help":
    "Schließen Sie die anderen Tabs der App und laden Sie dann neu. Bleibt es dabei, schließen Sie auch diesen, und starten Sie den Browser neu.",
  "obstacle.key": "Was hier gespeichert ist, ist nicht mehr lesbar",
  "obstacle.key.what":
    "Der Browser hat den Schlüssel zu dem verloren, was die App auf diesem Gerät gespeichert hat. Niemand kann es öffnen, und von hier wird nichts mehr gesendet.",
  "obstacle.key.help":
    "Was angekommen war, ist im Krankenhaus sicher. Entfernen Sie, was hier gespeichert ist, und senden Sie den Rest noch einmal von dort, wo Sie ihn haben.",
  "obstacle.newer": "Hier war eine neuere Version der App",
  "obstacle.newer.what":
    "Was auf diesem Gerät gespeichert ist, wurde von einer neueren Version geschrieben als dieser.",
  "obstacle.newer.help": "Schließen Sie alle Tabs der App und öffnen Sie sie wieder: Sie holt dann die neuere Version.",
  "obstacle.part": "Ein Teil der App wurde nicht geladen",
  "obstacle.part.what":
    "Die Verbindung riss ab, während die App geladen wurde, oder das Krankenhaus hat eine neuere Version. Was auf diesem Gerät wartet, bleibt erhalten.",
  "obstacle.part.help": "Prüfen Sie die Verbindung und laden Sie dann neu.",
  "obstacle.failed": "Die App ist stehen geblieben",
  "obstacle.failed.what": "In der App selbst ist etwas schiefgegangen. Was auf diesem Gerät wartet, bleibt erhalten.",
  "obstacle.failed.help": "Laden Sie neu. Geschieht es wieder, sagen Sie dem Krankenhaus, was Sie davor getan haben.",
  "obstacle.reload": "Neu laden",
  "obstacle.remove": "Gespeichertes entfernen",
  "obstacle.remove.text":
    "Sendungen, Kopien, Empfangsbestätigungen und Anmeldung in diesem Browser werden gelöscht. Was im Krankenhaus ist, bleibt dort.",
  "obstacle.remove.yes": "Entfernen",
  "obstacle.remove.no": "Behalten",
};
