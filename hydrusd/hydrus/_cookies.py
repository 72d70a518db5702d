"""Cookies: handing the client what a browser has, and looking at what it holds.

Three things go wrong when rows are sent as they come, so none is sent before all are known
to be good. The client applies the rows before a bad one and keeps quiet about it. It refuses
the fractions and zeroes which cookie files hold as expiry. And it falls over the removal of a
cookie that it does not have. Values are as good as passwords, and no text shows them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from hydrusd.errors import HydrusError, RequestRejected
from hydrusd.redaction import HIDDEN, register

from ._calls import Calls, Route
from ._permissions import Permission

GET_COOKIES = Route("GET", "/manage_cookies/get_cookies", Permission.MANAGE_HEADERS)
SET_COOKIES = Route("POST", "/manage_cookies/set_cookies", Permission.MANAGE_HEADERS)


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie. Its value stands in no ``repr``, and in no log or error of hydrusd.

    ``domain`` is as the client stores it: with a dot in front where the cookie holds for
    subdomains too. ``value`` None is for ``set_cookies`` and means: remove it. ``expires``
    is in seconds since 1970; None, or 0 as cookie files write it, is a cookie that lasts as
    long as the session; fractions are cut off. Raises RequestRejected for what Hydrus
    would refuse.
    """

    name: str
    value: str | None = field(repr=False)
    domain: str
    path: str = "/"
    expires: int | None = None

    def __post_init__(self) -> None:
        """Check, convert the expiry, and have the value hidden from now on."""
        if isinstance(self.value, str):
            register(self.value, lasting=False)
        texts = {
            "name": self.name,
            "value": "" if self.value is None else self.value,
            "domain": self.domain,
            "path": self.path,
        }
        for what, text in texts.items():
            if not isinstance(text, str):
                raise self._refused(f"its {what} is no text")
            try:
                text.encode()
            except UnicodeEncodeError:
                raise self._refused(f"its {what} is not valid Unicode") from None
        if not self.domain or not self.path:
            raise self._refused("it has no domain or no path")
        object.__setattr__(self, "expires", self._checked_expiry())

    def _checked_expiry(self) -> int | None:
        expires: object = self.expires
        if expires is None:
            return None
        # A bool is an int to Python, and so to Hydrus, which would take it for the year 1970.
        if isinstance(expires, bool) or not isinstance(expires, int | float):
            raise self._refused("its expiry is no number")
        if not math.isfinite(expires):
            raise self._refused("its expiry is not finite")
        return int(expires) or None

    def _refused(self, why: str) -> RequestRejected:
        name, domain = (ascii(text)[:80] for text in (self.name, self.domain))
        return RequestRejected(f"the cookie {name} of {domain} cannot be sent: {why}")

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells cookies apart: domain, path and name."""
        return self.domain, self.path, self.name


def _known_columns(row: object) -> object:
    return row[:5] if isinstance(row, list) else row


class CookiesAnswer(BaseModel):
    """GET /manage_cookies/get_cookies: rows of name, value, domain, path and expiry."""

    cookies: list[
        Annotated[tuple[str, str | None, str, str, float | None], BeforeValidator(_known_columns)]
    ]


class CookieRoutes(Calls):
    """Routes about cookies; all need "manage cookies and headers"."""

    async def get_cookies(self, domain: str) -> list[Cookie]:
        """Give the cookies for a domain, of its subdomains and of its parent too.

        ``domain`` must have a dot in it, which is checked before anything is sent: raises
        RequestRejected. Where Hydrus does not know the ending as a public one, the domain
        shares its cookies with all others of that kind. Needs "manage cookies and headers".
        """
        self._require(GET_COOKIES)
        if "." not in domain:
            raise RequestRejected(
                f"not a domain whose cookies can be read, it has no dot: {domain[:80]!r}"
            )
        try:
            answer = await self._ask(CookiesAnswer, GET_COOKIES, params={"domain": domain})
        except HydrusError as error:
            if error.status == 200:
                error.excerpt = HIDDEN  # not what was due, but there may be cookies in it
            raise
        return [
            # Without a value is not the same as to be removed.
            Cookie(name, value or "", of, path, None if expires is None else int(expires))
            for name, value, of, path, expires in answer.cookies
        ]

    async def set_cookies(self, cookies: Sequence[Cookie]) -> None:
        """Set cookies, and remove those whose value is None. Safe to repeat.

        Of several with the same domain, path and name the last one counts. What is to be
        removed is looked up first, by exactly that domain, and left out where the client
        does not have it; raises RequestRejected where the domain has no dot, since it
        cannot be looked up. The client's user may see a popup. Hydrus knows no flags like
        "secure". Needs "manage cookies and headers".
        """
        self._require(SET_COOKIES)
        wanted = {cookie.identity: cookie for cookie in cookies}
        removed = {cookie.domain for cookie in wanted.values() if cookie.value is None}
        there = {
            cookie.identity
            for domain in sorted(removed)
            for cookie in await self.get_cookies(domain)
        }
        rows = [
            [cookie.name, cookie.value, cookie.domain, cookie.path, cookie.expires]
            for cookie in wanted.values()
            if cookie.value is not None or cookie.identity in there
        ]
        if not rows:
            return
        try:
            await self._tell(SET_COOKIES, {"cookies": rows})
        except HydrusError as error:
            # It quotes the row it stumbled over, and short values are not hidden by redaction.
            if any(cookie.value and cookie.value in error.excerpt for cookie in cookies):
                error.excerpt = HIDDEN
            raise
