"""A certificate authority of this demo's own, so that a phone on the local network can check who serves the app.

Promises: the authority's key stays in one private file and is used again at the next start, so that a phone needs to
trust it once; what it can vouch for is in its certificate: this machine's names and private addresses (RFC 5280
4.2.1.10), because a phone keeps trusting it when the demo is long over. Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Address = IPv4Address | IPv6Address

AUTHORITY_DAYS = 730
#: Browsers refuse more (CA/Browser Forum: 398, of which one is left for clocks).
SERVER_DAYS = 397
#: An authority that ends sooner is made anew.
_LEFT_DAYS = 30
#: Clocks of phones differ.
_BACKDATED = timedelta(days=1)

_PRIVATE = tuple(
    ip_network(one)
    for one in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598
        "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10", "fc00::/7",
    )
)  # fmt: skip


class UnusableAuthority(Exception):
    """The file is there and can't be read as an authority."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority: who it says it is, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def name(self) -> str:
        """As a phone lists it."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def fingerprint(self) -> str:
        """SHA-256 as phones show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def der(self) -> bytes:
        """The certificate alone, as `application/x-x509-ca-cert` wants it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate alone, for `--cacert` and its like."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def vouches_for(self, name: str | Address) -> bool:
        """Whether its own certificate lets it."""
        permitted = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
        if isinstance(name, str):
            return x509.DNSName(name) in (permitted or ())
        return any(name in one.value for one in permitted or () if isinstance(one.value, IPv4Network | IPv6Network))

    def issue(self, hosts: Iterable[str], addresses: Iterable[Address], now: datetime) -> bytes:
        """A server's key and certificate in one PEM, for those of the names that it may vouch for."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin = now - _BACKDATED
        names = [
            *(x509.DNSName(one) for one in hosts if self.vouches_for(one)),
            *(x509.IPAddress(one) for one in addresses if self.vouches_for(one)),
        ]
        certificate = (
            _builder(key, begin, min(begin + timedelta(days=SERVER_DAYS), self.certificate.not_valid_after_utc))
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RelayPACS demo")]))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_issued_by(self.key), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return _private(key) + certificate.public_bytes(serialization.Encoding.PEM)


def open_authority(path: Path, hosts: tuple[str, ...], address: Address, now: datetime) -> tuple[Authority, bool]:
    """The authority in a file, or a new one where there is none that can vouch for these.

    :returns: the authority, and whether it is new.
    :raises UnusableAuthority: the file is damaged.
    """
    with contextlib.suppress(FileNotFoundError):
        kept = _read(path.read_bytes())
        enough = kept.certificate.not_valid_after_utc >= now + timedelta(days=_LEFT_DAYS)
        if enough and all(kept.vouches_for(one) for one in (*hosts, address)):
            return kept, False
    made = _new(hosts, address, now)
    write_private(path, _private(made.key) + made.pem)
    return made, True


def write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole; nobody else can read it at any time."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read(content: bytes) -> Authority:
    try:
        key = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise UnusableAuthority from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise UnusableAuthority
    return Authority(certificate, key)


def _new(hosts: tuple[str, ...], address: Address, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    tag = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:6]
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"RelayPACS demo CA on {hosts[0][:30]} ({tag})"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "For trying out, not for patients' data"),
        ]
    )
    reachable = [] if any(address in one for one in _PRIVATE) else [ip_network(address)]
    permitted = [*map(x509.DNSName, hosts), *map(x509.IPAddress, (*_PRIVATE, *reachable))]
    begin = now - _BACKDATED
    certificate = (
        _builder(key, begin, begin + timedelta(days=AUTHORITY_DAYS))
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _builder(key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _issued_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
