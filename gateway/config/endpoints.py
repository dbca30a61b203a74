"""The keys of an endpoint. See `model`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.config import kinds, receivers
from gateway.config.keys import REQUIRED, key
from gateway.config.kinds import Secret


def url_path(url: str) -> Path:
    """The absolute path of a `sqlite:///` or `file:///` address."""
    return Path("/" + unquote(urlsplit(url).path).lstrip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSection:
    """How the gateway shows itself to an endpoint. Without it: not at all."""

    kind: str = key(
        kinds.one_of("none", "basic", "bearer", not_built=("oauth2", "mtls")),
        "none",
        "`oauth2` and `mtls`: not built yet.",
    )
    username: str = key(kinds.text, "", "For `basic`.")
    password: Secret[str] | None = key(kinds.secret, None, "For `basic`.")
    token: Secret[str] | None = key(kinds.secret, None, "For `bearer`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSection:
    """A PACS. The table's name is its `endpoint_id`."""

    endpoint_id: str
    kind: str = key(
        kinds.one_of("dicomweb", not_built=("dimse", "folder")), "dicomweb", "`dimse` and `folder`: not built yet."
    )
    url: str = key(kinds.web_url, REQUIRED, "Where the PACS serves DICOMweb: `/studies` is put behind it.")
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
        kinds.one_of("complete", not_built=("stream",)),
        "complete",
        "Instances leave when all of the upload is there. `stream`, each as soon as it is valid: not built yet.",
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
    verify: bool = key(kinds.flag, True, "Ask the PACS (QIDO-RS) for what it took (STOW-RS).")
    verify_for_s: float = key(kinds.duration, "10m", "How long the PACS may take to show it.", name="verify_for")
    commitment: bool = key(kinds.not_yet, False, "Storage commitment as the highest verification: not built yet.")
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
