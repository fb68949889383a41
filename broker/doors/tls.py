"""A door's certificate: read, judged in words for the owner, served with, and taken anew when it was renewed."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

DAY = 86400.0

EXPIRY_NOTICE_DAYS = 30
"""How long before a certificate's end the owner is told of it. Who renews by themselves do so at 30 days."""

Signature = tuple[int, ...]


class CertificateError(Exception):
    """A certificate cannot be served with; the message is one sentence for the owner."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a door's certificate says of itself. Times are in seconds since 1970."""

    file: Path
    valid_from: float
    valid_until: float
    names: frozenset[str]
    """DNS names, in lower case, ``*.`` in front where they are wildcards, and IP addresses."""

    @property
    def last_day(self) -> str:
        return _day(self.valid_until)

    def covers(self, host: str) -> bool:
        """Whether a browser takes it for this host: a name or an IP address, without port (RFC 6125 §6.4.3)."""
        try:
            return str(ipaddress.ip_address(host.strip("[]"))) in self.names
        except ValueError:
            name = host.lower().rstrip(".")
            return name in self.names or f"*.{name.partition('.')[2]}" in self.names

    def wrong_now(self, now: float) -> str:
        """Why no browser would take it at this moment; empty if there is nothing.

        It does not keep a box from serving: its clock may be the one that is wrong, as on a small machine that has
        just got its power back, and a renewed certificate is taken without a restart.
        """
        if now >= self.valid_until:
            return f"the certificate {self.file} has expired on {_day(self.valid_until)}"
        if now < self.valid_from:
            return f"the certificate {self.file} is not valid before {_day(self.valid_from)}"
        return ""

    def wrong_soon(self, now: float) -> str:
        """That it expires within :data:`EXPIRY_NOTICE_DAYS`; empty if it does not."""
        left = (self.valid_until - now) / DAY
        if left >= EXPIRY_NOTICE_DAYS:
            return ""
        days = "less than a day" if left < 1 else "1 day" if left < 2 else f"{int(left)} days"
        return f"the certificate {self.file} expires on {_day(self.valid_until)}, in {days}"


def read_certificate(certfile: Path, keyfile: Path) -> Certificate:
    """Read and judge a certificate with its chain and its key, both PEM. Raises CertificateError."""
    chain = _chain(certfile, _read(certfile))
    key = _key(keyfile, _read(keyfile))
    try:
        _check_key(key, keyfile, chain, certfile)
        _check_order(chain, certfile)
        judged = _judged(chain[0], certfile)
    except CertificateError:
        raise
    except Exception as error:  # UnsupportedAlgorithm, DuplicateExtension, ValueError: whatever is found in its parts
        raise CertificateError(f"{certfile} holds a certificate with parts that cannot be read") from error
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certfile, keyfile)
    except OSError as error:  # ssl.SSLError is one: such as a key that is too small to be safe
        raise CertificateError(f"the certificate {certfile} cannot be served with: {_reason(error)}") from error
    return judged


class ServedCertificate:
    """A certificate that a door serves with: ``context`` is the door's for good, what it shows may be renewed.

    Raises CertificateError if it cannot be served with.
    """

    def __init__(self, certfile: Path, keyfile: Path) -> None:
        self._certfile = certfile
        self._keyfile = keyfile
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._signature()
        self.certificate = read_certificate(certfile, keyfile)
        _load(self.context, certfile, keyfile)

    def renew(self) -> bool:
        """Serve new connections with the files as they are now, if they are others than before; whether they were.

        Raises CertificateError if what is there now cannot be served with: the one before stays, until the files
        change again.
        """
        now_there = self._signature()
        if now_there == self._seen:
            return False
        self._seen = now_there
        # Judged before the context is touched: one that takes a certificate and then not its key has lost both.
        self.certificate = read_certificate(self._certfile, self._keyfile)
        _load(self.context, self._certfile, self._keyfile)
        return True

    def _signature(self) -> Signature:
        """Changes when a file does, or the place that a link leads to; a file that is not there is 0."""
        found: list[int] = []
        for file in (self._certfile, self._keyfile):
            try:
                status = file.stat()
            except OSError:
                found.append(0)
            else:
                found += (status.st_ino, status.st_mtime_ns, status.st_size)
        return tuple(found)


# What can be wrong


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise CertificateError(f"there is no file {file}") from None
    except OSError as error:
        raise CertificateError(f"{file} cannot be read: {error.strerror}") from None


def _chain(certfile: Path, pem: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificateError(f"{certfile} is not a certificate in PEM") from None


def _key(keyfile: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError:  # how cryptography says that it wants a password
        raise CertificateError(
            f"the key {keyfile} is encrypted, and at a start nobody is there to type its password: decrypt it"
        ) from None
    except Exception:  # ValueError, UnsupportedAlgorithm, and what else a file that is no key can raise
        raise CertificateError(f"{keyfile} is not a private key in PEM") from None


def _check_key(key: PrivateKeyTypes, keyfile: Path, chain: Sequence[x509.Certificate], certfile: Path) -> None:
    kind = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = key.public_key().public_bytes(*kind)
    places = [place for place, found in enumerate(chain) if found.public_key().public_bytes(*kind) == public]
    if not places:
        raise CertificateError(f"the key {keyfile} is not that of the certificate {certfile}")
    if places[0] != 0:
        raise _wrong_order(certfile)


def _check_order(chain: Sequence[x509.Certificate], certfile: Path) -> None:
    """Each certificate is followed by its issuer's, if that is in the file at all (RFC 5246 §7.4.2)."""
    subjects = [found.subject for found in chain]
    for place, found in enumerate(chain[:-1]):
        is_followed = subjects[place + 1] == found.issuer
        if not is_followed and found.issuer != found.subject and found.issuer in subjects:
            raise _wrong_order(certfile)


def _wrong_order(certfile: Path) -> CertificateError:
    return CertificateError(
        f"the certificates in {certfile} are in the wrong order: the box's own comes first, then each one's issuer"
    )


def _judged(own: x509.Certificate, certfile: Path) -> Certificate:
    valid_from, valid_until = own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp()
    return Certificate(certfile, valid_from, valid_until, frozenset(_names(own)))


def _load(context: ssl.SSLContext, certfile: Path, keyfile: Path) -> None:
    context.load_cert_chain(certfile, keyfile, password=_no_password)


def _no_password() -> bytes:
    """Without it OpenSSL would ask at the terminal, and wait."""
    return b""


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or "it cannot be read"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []  # a name in the subject alone is taken by no browser any more
    return [
        *(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
