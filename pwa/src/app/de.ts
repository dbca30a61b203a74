import type { Key } from "./en";

export const de: Record<Key, string> = {
  "nav.back": "Zurück",
  "nav.settings": "Einstellungen",
  "nav.qr": "QR-Code erstellen",
  "nav.incoming": "Eingehende Sendungen",
  "line.off": "Keine Verbindung. Wartende Sendungen werden automatisch fortgesetzt.",
  "update.ready": "Eine neue Version ist verfügbar.",
  "wiped.one": "Das Krankenhaus hat 1 Sendung von diesem Gerät entfernt, {time}.",
  "wiped.other": "Das Krankenhaus hat {n} Sendungen und die Anmeldung dazu von diesem Gerät entfernt, {time}.",
  "wiped.seen": "OK",
  "update.later": "Sie können neu laden, sobald diese Dateien fertig sind.",
  "update.reload": "Neu laden",
  "other.rows.one": "1 Sendung einer anderen Person liegt auf diesem Gerät.",
  "other.rows.other": "{n} Sendungen anderer Personen liegen auf diesem Gerät.",

  "welcome.title": "Untersuchung senden",
  "welcome.lead": "Bilder gehen verschlüsselt von diesem Gerät ins Krankenhaus, und Sie sehen, wann sie im PACS sind.",
  "signin.title": "Anmelden",
  "signin.name": "Benutzername",
  "signin.password": "Passwort",
  "signin.go": "Anmelden",
  "signin.wrong": "Benutzername oder Passwort ist falsch.",
  "signin.many": "Zu viele Versuche. Warten Sie einen Moment und versuchen Sie es dann noch einmal.",
  "link.title": "Haben Sie einen Code?",
  "link.lead": "Scannen Sie ihn oder fügen Sie den Link ein.",
  "link.label": "Link",
  "link.go": "Öffnen",
  "link.bad":
    "Das ist kein RelayPACS-Link oder nur ein Teil davon. Scannen Sie den Code noch einmal oder lassen Sie sich einen neuen geben.",
  "link.foreign":
    "Dieser Code gilt für einen anderen Server: {server}. Dorthin wurde nichts gesendet. War das so gedacht, öffnen Sie den Link im Browser; sonst fragen Sie, wer Ihnen den Code gegeben hat.",

  "scan.go": "Mit der Kamera scannen",
  "scan.picture": "Aus einem Bild",
  "scan.hint": "Richten Sie die Kamera auf den QR-Code.",
  "scan.stop": "Beenden",
  "scan.refused":
    "Die Kamera kann hier nicht verwendet werden. Erlauben Sie sie in den Einstellungen des Browsers, fotografieren Sie den Code oder fügen Sie den Link ein.",
  "scan.none": "In diesem Bild wurde kein QR-Code gefunden.",

  "grant.for": "Senden an",
  "grant.contact": "Fragen an",
  "grant.until": "Dieser Code gilt bis {time}.",
  "grant.once": "Er öffnet eine Sendung, für eine Patientin oder einen Patienten.",
  "grant.dead": "Dieser Code wurde schon verwendet oder ist abgelaufen. Lassen Sie sich einen neuen geben.",
  "grant.busy":
    "Das Gateway kann diesen Code gerade nicht prüfen. Er bleibt auf diesem Gerät und wird automatisch noch einmal geprüft.",
  "grant.leave": "Diesen Code verwerfen",
  "grant.leave.sure": "Diesen Code verwerfen?",
  "grant.leave.text":
    "Er wird von diesem Gerät gelöscht. Verbraucht ist er nicht: Wer ihn Ihnen gegeben hat, kann ihn noch einmal zeigen.",
  "grant.checking": "Es wird geprüft, wohin dieser Code führt …",
  "grant.offline":
    "Keine Verbindung: Wohin dieser Code führt, ist noch nicht bekannt. Er bleibt auf diesem Gerät und wird geprüft, sobald eine Verbindung besteht.",
  "grant.unknown": "Ein Code zum Senden",

  "pick.title": "Bilder hinzufügen",
  "pick.lead": "Ziehen Sie einen Ordner oder Dateien hierher, oder wählen Sie sie aus.",
  "pick.lead.touch": "Wählen Sie die Dateien einer oder mehrerer Untersuchungen.",
  "pick.files": "Dateien wählen",
  "pick.folder": "Ordner wählen",
  "pick.drop": "Loslassen zum Hinzufügen",
  "pick.looking": "Dateien werden geprüft",
  "pick.looked": "{done} von {of}",
  "pick.stop": "Beenden",
  "pick.none": "Es wurden keine DICOM-Bilder gefunden.",
  "pick.nothing": "Es wurden keine Dateien übergeben. Wählen Sie sie hier aus.",
  "draft.title": "Noch nicht gesendet",
  "draft.chosen": "{n} ausgewählt",
  "draft.files": "Zum Senden Dateien erneut auswählen.",
  "draft.go": "Weiter",
  "draft.discard": "Verwerfen",
  "draft.sure": "Diese Auswahl verwerfen?",
  "draft.text": "Was Sie ausgewählt und geschrieben haben, wird gelöscht. Gesendet wurde nichts.",

  "review.noname": "Name nicht lesbar",
  "review.anonymous": "ohne Name",
  "review.id": "ID {id}",
  "review.born": "geb. {date}",
  "review.images.one": "1 Bild",
  "review.images.other": "{n} Bilder",
  "review.patients.one": "1 Patient/in",
  "review.patients.other": "{n} Patient/innen",
  "review.studies.one": "1 Untersuchung",
  "review.studies.other": "{n} Untersuchungen",
  "review.left.one": "1 Datei wird nicht gesendet",
  "review.left.other": "{n} Dateien werden nicht gesendet",
  "priority.routine": "Routine",
  "priority.urgent": "Dringend",
  "priority.stat": "Notfall",

  "list.title": "Sendungen",
  "list.unkept":
    "Dieser Browser kann wartende Bilder löschen, wenn der Speicher knapp wird. Behalten Sie die Originale.",
  "list.keep": "Lassen Sie die App offen, bis alles gesendet ist.",
  "list.empty": "Was Sie senden, steht hier mit der Empfangsbestätigung des PACS, bis Sie es entfernen.",
  "list.parts": "Anzeigen",
  "list.part.all": "Alle",
  "list.part.moving": "In Bearbeitung",
  "list.part.attention": "Handlungsbedarf",
  "list.part.done": "Im PACS",
  "study.waiting": "In der Warteschlange",
  "study.reading": "Dateien werden gelesen: {done} von {of}",
  "study.sending": "Wird gesendet",
  "study.left": "noch {time}",
  "study.offline": "Keine Verbindung. Wird automatisch fortgesetzt.",
  "study.retry": "Das Gateway hat nicht geantwortet. Wird automatisch noch einmal versucht.",
  "study.slept": "Pausiert um {time}, als die App geschlossen wurde. Wird fortgesetzt, solange die App offen ist.",
  "study.goes": "Noch nicht gesendet. Die Kopie auf diesem Gerät wird gelöscht: {time}.",
  "study.over":
    "Die Aufbewahrungszeit für Kopien auf diesem Gerät ist abgelaufen. Sobald eine Verbindung besteht, wird gesendet oder gelöscht.",
  "study.paused": "Pausiert",
  "tag.direct": "direkt",
  "study.delivering": "Bei {to} eingegangen. Die Bestätigung des PACS steht noch aus.",
  "study.held":
    "Zur Klärung zurückgehalten bei {to}: Dort muss jemand entscheiden, bevor etwas ins PACS geht. Nichts ist verloren. Bitte anrufen: {contact}.",
  "study.unfollowed": "Bei {to} eingegangen. Melden Sie sich neu an, um zu sehen, ob die Bilder im PACS sind.",
  "study.success": "Im PACS von {to} seit {time}",
  "study.unnoted": "Im PACS von {to}, aber ohne Ihre klinischen Angaben",
  "study.partial": "{n} von {of} Bildern sind im PACS von {to}",
  "study.failed": "Nichts hat das PACS von {to} erreicht",
  "study.cancelled": "Abgebrochen",
  "study.open": "{name} anzeigen",

  "act.pause": "Pausieren",
  "act.resume": "Fortsetzen",
  "act.retry": "Erneut versuchen",
  "act.again": "Erneut senden",
  "act.newcode": "Mit dem neuen Code senden",
  "act.direct": "Direkt aus den Dateien senden",

  "problem.offline": "Keine Verbindung. Nichts ist verloren; es wird automatisch fortgesetzt.",
  "problem.failed_here": "Auf diesem Gerät ist ein Fehler aufgetreten. Versuchen Sie es noch einmal.",
  "problem.pick_again":
    "Die App wurde geschlossen, bevor alle Dateien kopiert waren, oder manche sind nicht mehr lesbar. Wählen Sie dieselben Dateien noch einmal aus, oder senden Sie ohne sie.",
  "problem.lost_here":
    "Der Browser hat Dateien dieser Untersuchung verloren. Wählen Sie dieselben Dateien noch einmal aus, oder senden Sie ohne sie.",
  "problem.unauthorized":
    "Dieser Code wurde schon verwendet oder ist abgelaufen. Lassen Sie sich vom Krankenhaus einen neuen geben.",
  "problem.signed_out": "Melden Sie sich neu an, dann wird fortgesetzt.",
  "problem.upload_cancelled":
    "Die Sendung wurde im Krankenhaus abgebrochen. Rufen Sie an, bevor Sie noch einmal senden: {contact}.",
  "problem.upload_expired":
    "Das Gateway hat zu lange auf den Rest gewartet und gelöscht, was es hatte. Senden Sie erneut.",
  "problem.upload_gone": "Das Gateway hat diese Sendung nicht mehr. Senden Sie erneut.",
  "problem.newcode": "Dafür brauchen Sie einen neuen Code: Lassen Sie sich vom Krankenhaus einen geben.",
  "problem.kept": "Nichts ist verloren: Die Kopie auf diesem Gerät ist noch da.",
  "problem.spool_full":
    "Das Gateway hat gerade keinen Speicherplatz. Nichts ist verloren; es wird automatisch noch einmal versucht. Wenn es eilt, rufen Sie an: {contact}.",
  "problem.quota_exceeded":
    "Nichts ist verloren; um {time} wird es automatisch noch einmal versucht. Wenn es eilt, rufen Sie an: {contact}.",
  "problem.quota_exceeded.open":
    "Zu viele Sendungen dieses Kontos oder Codes sind unfertig: Schließen Sie einige ab, oder brechen Sie sie ab.",
  "problem.quota_exceeded.space":
    "Die unfertigen Sendungen dieses Kontos oder Codes belegen allen Platz, der ihm zusteht: Schließen Sie einige ab, oder brechen Sie sie ab.",
  "problem.quota_exceeded.other": "Das Gateway nimmt von diesem Konto oder Code im Moment nicht mehr an ({limit}).",
  "problem.incomplete":
    "Das Gateway zählt weniger Dateien, als gesendet wurden. Versuchen Sie es noch einmal; hilft das nicht, senden Sie die Untersuchung neu.",
  "problem.upload_too_large":
    "Das ist mehr, als der Code erlaubt. Wählen Sie weniger Untersuchungen aus, oder lassen Sie sich einen anderen Code geben.",
  "problem.too_many_files":
    "Das sind mehr Dateien, als der Code erlaubt. Wählen Sie weniger Untersuchungen aus, oder lassen Sie sich einen anderen Code geben.",
  "problem.endpoint_not_allowed":
    "Mit diesem Konto oder Code dürfen Sie nicht an dieses Krankenhaus senden. Lassen Sie sich dort freischalten, oder einen anderen Code geben.",
  "problem.notes_not_delivered":
    "Dieses Krankenhaus nimmt mit den Bildern keine klinischen Angaben an. Senden Sie ohne sie, und informieren Sie die Radiologie auf anderem Weg.",
  "problem.kept_too_long":
    "Nichts davon ist angekommen. Kopien dürfen {time} auf diesem Gerät bleiben, darum wurde diese gelöscht. Wählen Sie dieselben Dateien noch einmal aus, oder brechen Sie die Sendung ab.",
  "problem.kept_too_long.part":
    "{n} von {of} Dateien haben das Gateway erreicht, keine das PACS. Kopien dürfen {time} auf diesem Gerät bleiben, darum wurde diese gelöscht. Wählen Sie dieselben Dateien noch einmal aus, oder brechen Sie die Sendung ab.",
  "problem.quota":
    "Auf diesem Gerät ist nicht genug Speicherplatz für eine Kopie der Bilder. Schaffen Sie Platz und wählen Sie die Dateien noch einmal aus, oder senden Sie direkt aus den Dateien.",
  "problem.quota.queue":
    "Auf diesem Gerät ist kein Speicherplatz mehr, nicht einmal für die Liste der Dateien. Nichts wurde gesendet, und Ihre Auswahl ist noch da: Schaffen Sie Platz und versuchen Sie es noch einmal.",
  "held.one": "Für eine Kopie von 1 Sendung war kein Speicherplatz.",
  "held.other": "Für Kopien von {n} Sendungen war kein Speicherplatz.",
  "held.text":
    "Nichts ist verloren: Es kann direkt aus den ausgewählten Dateien gesendet werden, solange diese Seite offen bleibt.",
  "problem.other": "Das Gateway hat es abgelehnt ({code}). Rufen Sie an und nennen Sie diesen Code: {contact}.",

  "removed.title": "Alles wurde gelöscht",
  "removed.text":
    "Sendungen, Kopien, Empfangsbestätigungen, die Anmeldung und die Offline-App sind aus diesem Browser gelöscht. Diese Seite kann geschlossen werden.",
  "removed.again": "Neu beginnen",

  "settings.keep": "Behalten",

  "error.offline": "Keine Verbindung zum Gateway. Versuchen Sie es noch einmal.",
  "error.part.title": "Dieser Bildschirm wurde nicht geladen",
  "error.part":
    "Ein Teil der App wurde nicht geladen. Versuchen Sie es noch einmal; hilft das nicht, laden Sie neu. Was auf diesem Gerät wartet, bleibt erhalten.",
  "error.other": "Das Gateway hat es abgelehnt ({code}).",
};
