"""What a client sends along when it fetches from the web: cookies by site, headers by domain."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, field, replace
from http.cookiejar import Cookie, CookieJar
from typing import Any
from urllib.request import Request

from hydrusd.simulator._eras import Era
from hydrusd.simulator._errors import Unforeseen
from hydrusd.simulator._saving import Saving
from hydrusd.simulator._store import Store

COOKIES, HEADERS = "cookies", "headers"
_COOKIES_SECONDS, _HEADERS_SECONDS = 300, 30

APPROVALS = ("approved", "denied", "pending")
SET_BY_API = "Set by Client API"
DEFAULT_USER_AGENT = "Mozilla/5.0 (compatible; Hydrus Client)"

# Newer clients know that nobody owns these; a few stand for the public list.
_SHARED_SUFFIXES = frozenset({"co.uk", "org.uk", "com.au", "co.jp", "ne.jp", "com.br", "co.nz"})

CookieRow = tuple[str, str, str, str, int | None]
"""Name, value, domain, path, expiry in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Header:
    """One header that is sent along; ``approved`` is one of ``APPROVALS``, the value a secret."""

    value: str = field(repr=False)
    approved: str = "approved"
    reason: str = SET_BY_API


_GLOBAL_HEADERS = {
    "User-Agent": Header(
        DEFAULT_USER_AGENT,
        reason="This is the default User-Agent identifier for the client "
        "for all network connections.",
    ),
    "Accept": Header(
        "image/jpeg,image/png,image/*;q=0.9,*/*;q=0.8",
        reason="Prefers jpeg/png over webp, but provides graceful fallback.",
    ),
    "Cache-Control": Header(
        "no-transform",
        reason='Tells CDNs not to deliver "optimised" versions of files. May not be honoured.',
    ),
}


class Network:
    """The cookies and headers of one client. Thread-safe; domain "" means everywhere."""

    def __init__(self, era: Era, store: Store, saving: Saving) -> None:
        self._era = era
        self._store = store
        self._saving = saving
        self._jars: dict[str, CookieJar] = {}
        self._headers: dict[str, dict[str, Header]] = {}
        saving.keep(COOKIES, _COOKIES_SECONDS, self._dump_cookies)
        saving.keep(HEADERS, _HEADERS_SECONDS, self._dump_headers)

    def boot(self) -> None:
        """Come back with what was saved last."""
        with self._store.lock:
            self._jars = {}
            for row in self._store.document(COOKIES) or []:
                self._jar(row[2]).set_cookie(_cookie(*row))
            saved = self._store.document(HEADERS)
            self._headers = {"": dict(_GLOBAL_HEADERS)}
            if saved:
                self._headers = {
                    domain: {name: Header(**header) for name, header in headers.items()}
                    for domain, headers in saved.items()
                }

    def cookies(self, domain: str) -> list[CookieRow]:
        """Give all cookies of the site a domain belongs to, its other subdomains included."""
        with self._store.lock:
            return _rows(self._jar(domain))

    def set_cookie(self, row: CookieRow) -> None:
        """Set a cookie."""
        with self._store.lock:
            self._jar(row[2]).set_cookie(_cookie(*row))
            self._saving.changed(COOKIES)

    def clear_cookie(self, name: str, domain: str, path: str) -> None:
        """Remove a cookie; one that is not there trips the client up."""
        with self._store.lock:
            try:
                self._jar(domain).clear(domain, path, name)
            except KeyError as error:
                raise Unforeseen("KeyError", f"builtins.KeyError: {error}") from error
            self._saving.changed(COOKIES)

    def headers(self, domain: str) -> dict[str, Header]:
        """Give what was set for just that domain."""
        with self._store.lock:
            return dict(self._headers.get(domain, {}))

    def set_header(
        self, domain: str, name: str, value: str | None, approved: str | None, reason: str | None
    ) -> None:
        """Set a header, or parts of one that is there already."""
        with self._store.lock:
            of_domain = self._headers.setdefault(domain, {})
            header = of_domain.get(name, Header(""))
            changes = {"value": value, "approved": approved, "reason": reason}
            given = {part: text for part, text in changes.items() if text is not None}
            of_domain[name] = replace(header, **given)
            self._saving.changed(HEADERS)

    def delete_header(self, domain: str, name: str) -> None:
        """Remove a header if it is there."""
        with self._store.lock:
            if self._headers.get(domain, {}).pop(name, None):
                self._saving.changed(HEADERS)

    def dress(self, request: Request) -> None:
        """Put the approved headers and the cookies on a request of the client's own."""
        site = request.host  # with its port: to a client that is a part of the domain
        host = site.partition(":")[0]
        with self._store.lock:
            for domain, headers in self._headers.items():
                if domain and site != domain and not site.endswith("." + domain):
                    continue
                for name, header in headers.items():
                    if header.approved == "approved":
                        request.add_header(name, header.value)
            self._jar(host).add_cookie_header(request)

    def _jar(self, domain: str) -> CookieJar:
        jar = self._jars.setdefault(self._site(domain), CookieJar())
        jar.clear_expired_cookies()
        return jar

    def _site(self, domain: str) -> str:
        bare = domain.strip(".").lower()
        try:
            return str(ipaddress.ip_address(bare))
        except ValueError:
            labels = bare.split(".")
        knows_shared = self._era.has("shared_suffixes")
        deep = knows_shared and ".".join(labels[-2:]) in _SHARED_SUFFIXES
        return ".".join(labels[-3 if deep else -2 :])

    def _dump_cookies(self) -> list[CookieRow]:
        return [row for jar in self._jars.values() for row in _rows(jar)]

    def _dump_headers(self) -> dict[str, Any]:
        return {
            domain: {name: asdict(header) for name, header in headers.items()}
            for domain, headers in self._headers.items()
        }


def _cookie(name: str, value: str, domain: str, path: str, expires: int | None) -> Cookie:
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=True,
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=True,
        secure=False,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest={},
    )


def _rows(jar: CookieJar) -> list[CookieRow]:
    return [(c.name, c.value or "", c.domain, c.path, c.expires) for c in jar]
