"""The plain-HTTP door of `demo --lan`: the authority's certificate, how a phone comes to trust it, and nothing else.

A phone can't load the app before it trusts the authority, so this can't be HTTPS. Nothing secret passes here; who
listens in could put another certificate in its place, so the page and the terminal both show the fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from aiohttp import hdrs, web

from gateway.demo.plain_html import HEADERS, document

#: Android wants DER under this name; Safari takes the same file as a profile. A `.mobileconfig` would add nothing: it
#: holds the same certificate, and full trust has to be switched on by hand either way.
CERTIFICATE_PATH = "/relaypacs-demo-ca.crt"
_MEDIA_TYPE = "application/x-x509-ca-cert"


@dataclass(frozen=True, slots=True)
class Offer:
    """What the page is about."""

    name: str  #: the authority's, as the phone will list it
    fingerprint: str  #: SHA-256
    certificate: bytes  #: DER
    app_url: str


def create_trust_app(offer: Offer) -> web.Application:
    """The application: the page in the phone's language, in each language by its name, and the certificate."""

    async def page(request: web.Request) -> web.Response:
        return _page(offer, _preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))

    async def page_in(request: web.Request) -> web.Response:
        return _page(offer, request.path[1:])

    async def certificate(request: web.Request) -> web.Response:  # noqa: ARG001 - the shape of a handler
        return web.Response(body=offer.certificate, content_type=_MEDIA_TYPE, headers=HEADERS)

    app = web.Application()
    app.router.add_get("/", page)
    for language in _WORDS:
        app.router.add_get(f"/{language}", page_in)
    app.router.add_get(CERTIFICATE_PATH, certificate)
    return app


def _preferred(accepted: str) -> str:
    """The first language of the list that there is; browsers send theirs in the order of preference."""
    wanted = (one.strip()[:2].lower() for one in accepted.split(","))
    return next((one for one in wanted if one in _WORDS), "en")


def _page(offer: Offer, language: str) -> web.Response:
    words = _WORDS[language]
    tongues = " ".join(
        f"<strong>{one.own_name}</strong>"
        if code == language
        else f'<a href="/{code}" lang="{code}">{one.own_name}</a>'
        for code, one in _WORDS.items()
    )
    download = f'<p><a class="go" href="{CERTIFICATE_PATH}">{words.download}</a></p>'
    body = (
        f'<div class="text"><nav class="tongues">{tongues}</nav><main><h1>{words.title}</h1>'
        f'<p>{words.why}</p><p class="note">{words.warning}</p>'
        f"<h2>iPhone, iPad</h2>{_list(words.ios, download)}"
        f"<h2>Android</h2>{_list(words.android, download)}"
        f'<h2>{words.then}</h2><p><a class="go" href="{escape(offer.app_url)}/">{escape(offer.app_url)}</a></p>'
        f"<h2>{words.genuine}</h2><p>{words.compare}</p>"
        f"<p>{escape(offer.name)}<br>SHA-256 <code>{offer.fingerprint.replace(':', ':<wbr>')}</code></p>"
        f"<h2>{words.afterwards}</h2><p>{words.remove}</p></main></div>"
    )
    return document(words.title, body, language=language)


def _list(steps: tuple[str, ...], download: str) -> str:
    first, *others = steps
    return f"<ol><li>{first}{download}</li>" + "".join(f"<li>{one}</li>" for one in others) + "</ol>"


@dataclass(frozen=True, slots=True)
class _Words:
    own_name: str
    title: str
    why: str
    warning: str
    download: str
    ios: tuple[str, ...]  #: the first step is to download
    android: tuple[str, ...]
    then: str
    genuine: str
    compare: str
    afterwards: str
    remove: str


_WORDS = {
    "en": _Words(
        own_name="English",
        title="Trust the RelayPACS demo on this phone",
        why="The app needs an encrypted connection that the phone trusts. The computer that runs the demo has made a "
        "certificate authority of its own for that. Install its certificate once; it can vouch for this computer and "
        "for private networks only.",
        warning="This is for trying things out. Don't send patients' data to a demo.",
        download="Download the certificate",
        ios=(
            "Open this page in <strong>Safari</strong>, download the certificate and tap “Allow”.",
            (
                "Open <strong>Settings</strong> and tap “Profile Downloaded” near the top. Without it: General → VPN &amp; "
                "Device Management. Tap “Install”, enter the passcode, and “Install” again."
            ),
            (
                "Go to Settings → General → About → <strong>Certificate Trust Settings</strong> and switch on “RelayPACS "
                "demo CA”. Without this step Safari goes on warning."
            ),
        ),
        android=(
            "Download the certificate. If the browser asks whether to keep the file, keep it.",
            (
                "Open <strong>Settings</strong>, search for “CA certificate” and choose it. It lies under Security → "
                "Encryption &amp; credentials → Install a certificate. The phone needs a screen lock for this."
            ),
            (
                "Tap “Install anyway”, unlock the phone and choose <strong>relaypacs-demo-ca.crt</strong> from the "
                "downloads. Chrome trusts it from then on; Firefox does not by itself."
            ),
        ),
        then="Then open the app",
        genuine="Is it the right one?",
        compare="Compare the fingerprint that the phone shows when you install it with the one in the terminal in which "
        "the demo runs. If they differ, don't trust the certificate.",
        afterwards="Afterwards",
        remove="Remove it when you are done. iPhone: Settings → General → VPN &amp; Device Management. Android: Settings "
        "→ Security → Encryption &amp; credentials → User credentials.",
    ),
    "de": _Words(
        own_name="Deutsch",
        title="Der RelayPACS-Demo auf diesem Handy vertrauen",
        why="Die App braucht eine verschlüsselte Verbindung, der das Handy vertraut. Dafür hat der Rechner, auf dem die "
        "Demo läuft, eine eigene Zertifizierungsstelle angelegt. Installieren Sie deren Zertifikat einmal; sie kann nur "
        "für diesen Rechner und für private Netze bürgen.",
        warning="Das hier ist zum Ausprobieren. Schicken Sie keine Patientendaten an eine Demo.",
        download="Zertifikat laden",
        ios=(
            "Diese Seite in <strong>Safari</strong> öffnen, das Zertifikat laden und „Zulassen“ antippen.",
            (
                "Die <strong>Einstellungen</strong> öffnen und oben „Profil geladen“ antippen. Fehlt der Eintrag: Allgemein → "
                "VPN und Geräteverwaltung. „Installieren“ antippen, Code eingeben, noch einmal „Installieren“."
            ),
            (
                "Unter Einstellungen → Allgemein → Info → <strong>Zertifikats&shy;vertrauens&shy;einstellungen</strong> „RelayPACS demo "
                "CA“ einschalten. Ohne diesen Schritt warnt Safari weiterhin."
            ),
        ),
        android=(
            "Das Zertifikat laden. Fragt der Browser, ob die Datei behalten werden soll: behalten.",
            (
                "Die <strong>Einstellungen</strong> öffnen, nach „CA-Zertifikat“ suchen und den Eintrag wählen. Er liegt unter "
                "Sicherheit → Verschlüsselung und Anmeldedaten → Zertifikat installieren. Das Handy braucht dafür eine "
                "Displaysperre."
            ),
            (
                "„Trotzdem installieren“ antippen, das Handy entsperren und <strong>relaypacs-demo-ca.crt</strong> aus den "
                "Downloads wählen. Chrome vertraut ihm von da an; Firefox nicht von selbst."
            ),
        ),
        then="Dann die App öffnen",
        genuine="Ist es das richtige?",
        compare="Vergleichen Sie den Fingerabdruck, den das Handy beim Installieren zeigt, mit dem im Terminal, in dem die "
        "Demo läuft. Weichen sie voneinander ab, vertrauen Sie dem Zertifikat nicht.",
        afterwards="Danach",
        remove="Entfernen Sie es, wenn Sie fertig sind. iPhone: Einstellungen → Allgemein → VPN und Geräteverwaltung. "
        "Android: Einstellungen → Sicherheit → Verschlüsselung und Anmeldedaten → Nutzeranmeldedaten.",
    ),
}
