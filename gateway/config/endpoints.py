"""The keys of an endpoint, and of where endpoints report to. See `model`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.config import kinds, receivers
from gateway.config.keys import key
from gateway.config.kinds import Secret


def url_path(url: str) -> Path:
    """The absolute path of a `sqlite:///` or `file:///` address."""
    return Path("/" + unquote(urlsplit(url).path).lstrip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSection:
    """How the gateway shows itself to an endpoint. Without it: not at all."""

    kind: str = key(
        kinds.one_of("none", "basic", "bearer", "oauth2", "mtls"),
        "none",
        "`oauth2`: client credentials (RFC 6749 section 4.4). `mtls`: a client certificate.",
    )
    username: str = key(kinds.text, "", "For `basic`.")
    password: Secret[str] | None = key(kinds.secret, None, "For `basic`.")
    token: Secret[str] | None = key(kinds.secret, None, "For `bearer`.")
    token_url: str = key(kinds.optional_web_url, "", "For `oauth2`: where the issuer gives out tokens.")
    client_id: str = key(kinds.text, "", "For `oauth2`.")
    client_secret: Secret[str] | None = key(kinds.secret, None, "For `oauth2`.")
    scope: str = key(kinds.text, "", "For `oauth2`: what is asked for; some issuers need none.")
    ca_bundle: Path | None = key(
        kinds.existing_path,
        "",
        "For `oauth2`: certificates (PEM) that the issuer's is checked with. Empty: the system's.",
    )
    cert: Path | None = key(kinds.existing_path, "", "For `mtls`: certificate chain (PEM).")
    key_file: Path | None = key(
        kinds.existing_path, "", "For `mtls`: its private key (PEM), without a password.", name="key"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSection:
    """TLS towards an endpoint of kind `dimse`. Without the table: in the clear."""

    cert: Path | None = key(
        kinds.existing_path, "", "The gateway's certificate chain (PEM), for a PACS that asks for one."
    )
    key_file: Path | None = key(kinds.existing_path, "", "Its private key (PEM), without a password.", name="key")
    ca: Path | None = key(
        kinds.existing_path, "", "Certificates (PEM) that the PACS's is checked with. Empty: the system's."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSection:
    """A PACS. The table's name is its `endpoint_id`."""

    endpoint_id: str
    kind: str = key(
        kinds.one_of("dicomweb", "dimse", "folder"),
        "dicomweb",
        "What speaks to it: `dicomweb` by `url`, `dimse` (C-STORE) by `host` ([dimse.md](dimse.md)), `folder` by `path` ([folder.md](folder.md)).",
    )
    url: str = key(
        kinds.optional_web_url,
        "",
        "Of `dicomweb`: where the PACS serves it; `/studies` is put behind it. Required there.",
    )
    path: Path | None = key(kinds.path, "", "Of `folder`: the folder, which must be there. Required there.")
    layout: str = key(
        kinds.text,
        "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm",
        "Of `folder`: where in it an instance belongs, by attributes of the instance.",
    )
    host: str = key(kinds.text, "", "Of `dimse`: name or address of the PACS. Required there.")
    port: int = key(kinds.integer(1, 65535), 11112, "Of `dimse`: the PACS's port.")
    called_aet: str = key(kinds.aet, "", "Of `dimse`: the PACS's AE title. Required there.")
    calling_aet: str = key(kinds.aet, "RELAYPACS", "Of `dimse`: the gateway's AE title, as the PACS knows it.")
    associations: int = key(
        kinds.integer(1, 64), 4, "Of `dimse`: at once; fewer by itself where the PACS takes no more."
    )
    plain_http: bool = key(
        kinds.flag,
        False,
        "`http://` off loopback is refused without it: images and passwords would be read on the way.",
    )
    default: bool = key(
        kinds.flag, False, "Takes uploads that name no endpoint. The only endpoint is the default without it."
    )
    display_name: str = key(kinds.text, "", "What uploaders see. Empty: the endpoint_id.")
    contact: str = key(kinds.text, "", "Whom uploaders can ask.")
    mode: str = key(
        kinds.one_of("complete", "stream"),
        "complete",
        "`complete`: instances leave when all of the upload is there. `stream`: each as soon as it is whole and valid, so half studies become visible in the PACS, and what is held, cancelled or never completed may stay there in part ([delivery.md](delivery.md#stream)).",
    )
    identity: str = key(
        kinds.one_of("check", "as-is"),
        "check",
        "`check` looks in the PACS who has this PatientID before the first instance leaves.",
    )
    if_unknown: str = key(
        kinds.one_of("warn", "hold"),
        "warn",
        'With `identity = "check"`: what happens when the PACS can\'t be asked, or there is nothing to compare.',
    )
    page_size: int = key(
        kinds.integer(1, 10_000), 200, "`limit` of a query to the PACS; smaller by itself where it refuses that."
    )
    verify: bool = key(
        kinds.flag, True, "Ask the PACS (QIDO-RS) for what it took (STOW-RS); in a folder: read each file back."
    )
    verify_for_s: float = key(
        kinds.duration, "10m", "How long the PACS may take to show it, and to commit to it.", name="verify_for"
    )
    commitment: bool = key(
        kinds.flag,
        False,
        "Storage commitment as the highest verification ([delivery.md](delivery.md#storage-commitment)); of `dimse` its reports are taken at `[dimse]`. Not of `folder`.",
    )
    notes: str = key(
        kinds.one_of("sr", "webhook", "none"),
        "sr",
        "`sr`: clinical notes go into each study as a Basic Text SR. `none`: they aren't taken. `webhook`: they go out by those webhooks that have `patient_data`.",
    )
    ca_bundle: Path | None = key(
        kinds.existing_path, "", "Certificates (PEM) that the PACS's is checked with. Empty: the system's."
    )
    timeout_s: float = key(
        kinds.positive_duration, "60s", "How long one request may be without an answer.", name="timeout"
    )
    mail: tuple[str, ...] = key(
        receivers.addresses, [], "Who hears by mail of what becomes of its uploads. Needs `[mail]`."
    )
    auth: AuthSection = AuthSection()
    tls: TlsSection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseSection:
    """Where the gateway takes reports of storage commitment; it listens if a `dimse` endpoint has `commitment = true`."""

    aet: str = key(kinds.aet, "RELAYPACS", "AE title that the PACS calls.")
    host: str = key(kinds.text, "127.0.0.1", "Address to listen on.")
    port: int = key(
        kinds.integer(0, 65535), 11113, "Port to listen on; 0: none, reports come over our own associations."
    )
    tls_cert: Path | None = key(
        kinds.existing_path,
        "",
        "Certificate chain (PEM). With `tls_key`: reports are taken over TLS, and not otherwise.",
    )
    tls_key: Path | None = key(kinds.existing_path, "", "Private key (PEM) of `tls_cert`, without a password.")
    tls_ca: Path | None = key(
        kinds.existing_path,
        "",
        "Certificates (PEM) that the PACS's is checked with: it has to show one. Empty: it need not.",
    )
