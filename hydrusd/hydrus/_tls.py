"""How far the way to the client can be trusted: https, a custom authority, a pinned certificate.

The access key opens the whole collection, so it is not sent in the clear over a network
unless that is asked for in so many words. A Hydrus client makes its own certificate, which
no authority has signed and whose name fits no host: pinning its fingerprint is what works
for it, and is stricter than any authority. The check happens at the end of the handshake,
before a byte of a request is sent.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from hydrusd.errors import ConfigError, Problem

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Security:
    """What the user says about the way to the client; see ``HydrusClient``."""

    allow_plain_http: bool = False
    tls_ca_file: Path | None = None
    tls_fingerprint: str | None = None

    def checked(self, scheme: str, host: str) -> ssl.SSLContext | None:
        """Give the context for https, None where httpx's own will do.

        Raises ConfigError for plain http to another machine, and for what cannot be used.
        """
        if scheme == "http":
            if self.tls_ca_file is not None or self.tls_fingerprint is not None:
                raise refused(
                    "tls_ca_file and tls_fingerprint protect nothing over plain http",
                    "write https:// in the address",
                )
            if not (self.allow_plain_http or is_this_machine(host)):
                raise refused(
                    f"plain http to another machine ({host}): the access key and every file "
                    "would cross the network for anyone to read",
                    "turn on https in the client (services > manage services > client api) and "
                    "write https:// here, or set allow_plain_http if you trust that network",
                )
            # Built empty: a real one takes 20 ms, and is for nothing here.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.tls_ca_file is not None and self.tls_fingerprint is not None:
            raise refused("tls_ca_file and tls_fingerprint exclude each other", "give one of them")
        if self.tls_fingerprint is not None:
            return _pinned(self.tls_fingerprint)
        return None if self.tls_ca_file is None else _signed_by(self.tls_ca_file)


def is_this_machine(host: str) -> bool:
    """Tell whether what is sent to that host never leaves this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refused(message: str, hint: str = "") -> ConfigError:
    """Give the error for what is said about a client and cannot be."""
    return ConfigError([Problem("client", 0, 0, message, hint=hint)])


def _signed_by(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise refused(
            f"tls_ca_file: no certificates could be read from {ca_file}: {error}",
            "it is a text file that begins with -----BEGIN CERTIFICATE-----",
        ) from error


def _pinned(fingerprint: str) -> ssl.SSLContext:
    digits = re.sub(r"^sha-?256[:=]|[\s:]", "", fingerprint.strip().lower())
    if not _FINGERPRINT.fullmatch(digits):
        raise refused(
            f"tls_fingerprint is no SHA-256 fingerprint: {fingerprint[:120]!r}",
            "it has 64 hexadecimal digits, with or without colons",
        )
    expected = bytes.fromhex(digits)

    class Pinned(ssl.SSLObject):
        """A connection to the one who holds the key of that very certificate."""

        def do_handshake(self) -> None:
            super().do_handshake()
            found = hashlib.sha256(self.getpeercert(binary_form=True) or b"").digest()
            if not hmac.compare_digest(found, expected):
                raise ssl.SSLError(
                    ssl.SSL_ERROR_SSL,
                    "the certificate is another than the pinned one, its SHA-256 fingerprint is "
                    + found.hex(":"),
                )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Neither who signed it nor whose name is on it matters: it is the one, or it is not.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = Pinned
    return context
