"""Every key of the configuration, once: its name, kind, default and help are the fields of these dataclasses.

`load` parses by them, `effective` prints by them and docs/configuration.md is made from them.
A field has the key's name, with the unit behind it where it has one: `_s` for seconds, `_bytes` for sizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.config import kinds, receivers
from gateway.config.endpoints import DimseSection, EndpointSection
from gateway.config.keys import REQUIRED, key
from gateway.config.kinds import IpNetwork, Secret
from gateway.config.routes import RouteSection
from gateway.config.telling import AlertsSection, MailSection, MetricsSection, WebhookSection


def url_path(url: str) -> Path:
    """The absolute path of a `sqlite:///` or `file:///` address."""
    return Path("/" + unquote(urlsplit(url).path).lstrip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSection:
    """Where the gateway listens."""

    host: str = key(kinds.text, "127.0.0.1", "Address to listen on.")
    port: int = key(kinds.integer(0, 65535), 8080, "Port to listen on; 0: any free one, told by `listening on`.")
    public_url: str = key(
        kinds.optional_web_url,
        "",
        "Address under which clients reach the gateway: `Location` and QR codes start with it. Empty: made from host and port.",
    )
    workers: int = key(
        kinds.integer(1, 256), 1, "Processes that take requests. More than 1 needs PostgreSQL: not built yet."
    )
    tls_cert: Path | None = key(
        kinds.existing_path, "", "Certificate chain (PEM). With `tls_key`: HTTPS in the gateway itself."
    )
    tls_key: Path | None = key(kinds.existing_path, "", "Private key (PEM) of `tls_cert`.")
    trusted_proxies: tuple[IpNetwork, ...] = key(
        kinds.networks,
        [],
        "Addresses of the TLS proxy in front. Plain HTTP off loopback is refused without this or a certificate.",
    )
    proxies_pass_interim: bool = key(
        kinds.flag,
        False,
        "Interim responses (104 of the IETF draft) reach clients through these proxies: HAProxy passes them on; nginx takes "
        "one for the answer itself.",
    )
    cors_origins: tuple[str, ...] = key(kinds.origins, [], "Origins of foreign pages that may use the gateway.")
    drain_s: float = key(
        kinds.duration, 20, "How long SIGTERM waits for bodies in flight, at most.", name="drain_seconds"
    )
    body_idle_timeout_s: float = key(
        kinds.positive_duration,
        "60s",
        "A body that is silent for this long is cut off; what came is kept.",
        name="body_idle_timeout",
    )
    max_buffered_bytes: int = key(
        kinds.positive_size, "64MiB", "Bytes of all request bodies together that may wait in memory."
    )
    hosts: tuple[str, ...] = key(
        kinds.hosts, [], "Other names under which clients may ask: `Location` follows Host where it is one of them."
    )
    #: From host and port: nobody said what the gateway is called.
    public_url_is_made: bool = dataclasses.field(default=False, compare=False)

    def public_url_for(self, port: int) -> str:
        """The address clients use when the gateway listens on `port`; without a slash at the end."""
        if self.public_url:
            return self.public_url
        host = "localhost" if self.host in {"", "0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        scheme = "https" if self.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """What one client may take: an account, the holder of a QR code, or an address."""

    open_uploads: int = key(kinds.integer(1, 10_000_000), 1000, "Unfinished uploads of one account.")
    reserved_share: float = key(
        kinds.share, 0.5, "Part of `spool.max_bytes` that the uploads of one account may take, QR codes' with it."
    )
    empty_upload_s: float = key(
        kinds.positive_duration,
        "15m",
        "An upload of which no byte came for so long gives its room back; its first byte takes it again.",
        name="empty_upload",
    )
    qr_codes: int = key(
        kinds.integer(1, 10_000_000),
        1000,
        "QR codes of one account that nobody has used, the revoked ones too, for their life and a day at least.",
    )
    qr_max_bytes: int = key(
        kinds.positive_size, "10GiB", "What a QR code may send that says no `max_bytes` of its own."
    )
    unproven_connections: int = key(
        kinds.integer(1, 100_000),
        64,
        "Connections of one address that showed no good bearer yet; trusted proxies are exempt.",
    )
    json_timeout_s: float = key(
        kinds.positive_duration,
        "10s",
        "Time that a request's head, or a JSON body, may take to come.",
        name="json_timeout",
    )
    logins_per_minute: int = key(
        kinds.integer(1, 100_000), 30, "Logins of one account; failures have limits of their own."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSection:
    """Where the ledger is."""

    url: str = key(
        kinds.text,
        "sqlite:///var/relaypacs/relaypacs.db",
        "`sqlite:///` and an absolute path. `postgresql://`: not built yet.",
    )

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return url_path(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolKeysSection:
    """Master keys, 32 bytes each in base64, under names of your own; `relaypacs keys new` makes one."""

    active: str = key(kinds.text, REQUIRED, "Name of the key that new uploads are wrapped with.")
    by_name: Mapping[str, Secret[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSection:
    """The encrypted temporary storage."""

    url: str = key(
        kinds.text, "file:///var/relaypacs/spool", "`file:///` and an absolute path. `s3://`: not built yet."
    )
    max_bytes: int = key(
        kinds.positive_size, "50GiB", "Sealed bytes that it may hold, reservations and refused bytes included."
    )
    keys: SpoolKeysSection

    @property
    def path(self) -> Path:
        """The folder."""
        return url_path(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadsSection:
    """What one upload may be."""

    chunk_size_bytes: int = key(
        kinds.size,
        "4MiB",
        "Bytes of a REST chunk, from 1KiB to 64MiB; a file's last may be shorter.",
        name="chunk_size",
    )
    max_file_size_bytes: int = key(
        kinds.positive_size, "8GiB", "Largest file. Never more than `max_upload_size`.", name="max_file_size"
    )
    max_upload_size_bytes: int = key(kinds.positive_size, "50GiB", "Largest upload.", name="max_upload_size")
    max_files: int = key(kinds.integer(1, 10_000_000), 20000, "Most files in one upload.")
    expires_s: float = key(
        kinds.positive_duration,
        "24h",
        "An unfinished upload ends after so much silence; an outage of the gateway doesn't count.",
        name="expires",
    )
    autocomplete_s: float = key(
        kinds.duration,
        "60s",
        "An upload whose files are whole and whose sizes add up is completed after so much silence.",
        name="autocomplete",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensSection:
    """What signs tokens, and how long they live."""

    secret: Secret[str] = key(
        kinds.secret, {"env": "RELAYPACS_TOKEN_SECRET"}, "At least 16 bytes, better 32; who has it can make tokens."
    )
    previous_secret: Secret[str] | None = key(
        kinds.secret, None, "The former `secret`: tokens that it signed are still read. Take it out once they are over."
    )
    access_ttl_s: float = key(kinds.positive_duration, "30m", "Life of an access token.", name="access_ttl")
    upload_ttl_s: float = key(kinds.positive_duration, "15m", "Life of an upload token.", name="upload_ttl")
    qr_ttl_s: float = key(
        kinds.positive_duration,
        "15m",
        "Life of a QR code that doesn't say; never more than `qr_max_ttl`.",
        name="qr_ttl",
    )
    qr_max_ttl_s: float = key(kinds.positive_duration, "72h", "Longest life of a QR code.", name="qr_max_ttl")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSection:
    """When bytes and records are purged."""

    interval_s: float = key(kinds.positive_duration, "60s", "How often the purge runs.", name="interval")
    delivered_s: float = key(
        kinds.duration, "0s", "How long delivered bytes stay after their receipt.", name="delivered"
    )
    failed_s: float = key(
        kinds.duration, "7d", "How long bytes stay that couldn't be delivered or were rejected.", name="failed"
    )
    records_s: float = key(
        kinds.positive_duration, "90d", "How long receipts and facts stay, under a key of their own.", name="records"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySection:
    """How instances go to a PACS."""

    retry_for_s: float = key(
        kinds.duration, "72h", "How long it is tried, counted while trying was possible.", name="retry_for"
    )
    retry_base_s: float = key(
        kinds.positive_duration, "2s", "First pause between attempts; it grows with each.", name="retry_base"
    )
    connections: int = key(kinds.integer(1, 64), 4, "Requests to one endpoint at once.")
    batch_bytes: int = key(kinds.positive_size, "16MiB", "Bytes of one STOW request; a larger instance goes alone.")
    batch_instances: int = key(kinds.integer(1, 1000), 10, "Instances of one STOW request, at most.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSection:
    """How an instance is looked at before it may leave."""

    level: str = key(
        kinds.one_of("standard", "strict"), "standard", "`strict` rejects what `standard` only warns about."
    )
    study_mismatch: str = key(
        kinds.one_of("hold", "reject", "warn"),
        "hold",
        "What happens when declared patient_id or birth date differ from the files'. Other fields warn.",
    )
    timeout_s: float = key(kinds.positive_duration, "20s", "Time that looking at one file may take.", name="timeout")
    memory_bytes: int = key(kinds.positive_size, "512MiB", "Address space of one scanner process.", name="memory")
    workers: int = key(kinds.integer(1, 64), 2, "Scanner processes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSection:
    """The audit trail's export."""

    file: Path | None = key(kinds.path, "/var/relaypacs/audit.jsonl", "JSON lines, appended. Empty: no export.")
    retention_s: float = key(kinds.positive_duration, "6y", "How long events stay.", name="retention")
    repository: str = key(
        receivers.syslog_url,
        "",
        "`syslog-tls://host:6514`: an audit record repository (IHE ATNA) that gets each event, too. Empty: none.",
    )
    repository_ca: Path | None = key(
        kinds.existing_path, "", "Certificates (PEM) that the repository's is checked with. Empty: the system's."
    )
    repository_cert: Path | None = key(
        kinds.existing_path, "", "Our certificate (PEM), for a repository that asks who sends."
    )
    repository_key: Path | None = key(kinds.existing_path, "", "Private key (PEM) of `repository_cert`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSection:
    """What the gateway says on stderr; never a URL, a name or a value that a client sent."""

    level: str = key(
        kinds.one_of("debug", "info", "warning", "error"),
        "info",
        "What is said: `debug` healthy probes too, `warning` only what somebody should look at, `error` what is broken.",
    )
    format: str = key(kinds.one_of("text", "json"), "text", "`json`: one object a line, for log collectors.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSection:
    """An OpenID Connect issuer whose access tokens are taken beside local accounts. Off without `issuer`."""

    issuer: str = key(
        kinds.optional_web_url, "", "The issuer, as its tokens say it in `iss`; its discovery document is looked up."
    )
    audience: str = key(kinds.text, "", "What `aud` of a token must hold: this gateway, as the issuer knows it.")
    roles_claim: str = key(
        kinds.text, "roles", "Claim with the roles, a list or a text of words; dots lead inside: `realm_access.roles`."
    )
    roles: Mapping[str, str] = key(
        kinds.mapping, {}, "Role of the issuer -> `uploader`, `issuer` or `admin`. Who has none of them is refused."
    )
    jwks_cache_s: float = key(
        kinds.positive_duration, "10m", "How long the issuer's keys are believed without asking.", name="jwks_cache"
    )
    timeout_s: float = key(kinds.positive_duration, "5s", "How long the issuer may take to answer.", name="timeout")
    token_typ: tuple[str, ...] = key(
        kinds.words,
        ["at+jwt"],
        "What `typ` of an access token may be (RFC 9068); an ID token's and a logout token's are refused.",
    )

    @property
    def enabled(self) -> bool:
        """Whether there is one."""
        return bool(self.issuer)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSection:
    """What the app tells its users."""

    notice: str = key(kinds.text, "", "Shown before anything is sent: legal basis, conditions.")
    privacy_contact: str = key(kinds.text, "", "Whom to ask about data protection.")
    local_ttl_s: float = key(
        kinds.positive_duration, "72h", "How long copies of images may lie on a device.", name="local_ttl"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration, checked; secrets resolved."""

    server: ServerSection = ServerSection()
    limits: LimitsSection = LimitsSection()
    database: DatabaseSection = DatabaseSection()
    spool: SpoolSection
    uploads: UploadsSection = UploadsSection()
    tokens: TokensSection
    retention: RetentionSection = RetentionSection()
    delivery: DeliverySection = DeliverySection()
    validation: ValidationSection = ValidationSection()
    endpoints: Mapping[str, EndpointSection]
    metrics: MetricsSection = MetricsSection()
    mail: MailSection = MailSection()
    alerts: AlertsSection = AlertsSection()
    webhooks: tuple[WebhookSection, ...] = ()
    routes: tuple[RouteSection, ...] = ()
    audit: AuditSection = AuditSection()
    app: AppSection = AppSection()
    log: LogSection = LogSection()
    oidc: OidcSection = OidcSection()
    dimse: DimseSection = DimseSection()

    @property
    def default_endpoint(self) -> EndpointSection | None:
        """The endpoint of uploads that name none, where there is one."""
        return next((endpoint for endpoint in self.endpoints.values() if endpoint.default), None)


PLAIN_TABLES: Mapping[str, type] = {
    "server": ServerSection,
    "limits": LimitsSection,
    "database": DatabaseSection,
    "spool": SpoolSection,
    "uploads": UploadsSection,
    "tokens": TokensSection,
    "retention": RetentionSection,
    "delivery": DeliverySection,
    "validation": ValidationSection,
    "metrics": MetricsSection,
    "mail": MailSection,
    "alerts": AlertsSection,
    "audit": AuditSection,
    "app": AppSection,
    "log": LogSection,
    "dimse": DimseSection,
}
