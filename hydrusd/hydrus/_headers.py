"""The headers that the client sends to websites, for all of them or for one domain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel

from hydrusd.errors import RequestRejected
from hydrusd.redaction import register

from ._calls import Calls, Route
from ._permissions import Permission

GET_HEADERS = Route("GET", "/manage_headers/get_headers", Permission.MANAGE_HEADERS, since_api=43)
SET_HEADERS = Route("POST", "/manage_headers/set_headers", Permission.MANAGE_HEADERS, since_api=43)
SET_USER_AGENT = Route(
    "POST", "/manage_headers/set_user_agent", Permission.MANAGE_HEADERS, since_api=17
)

# The value of such a header lets people in.
_SECRET = re.compile(r"(?i)auth|cookie|token|key|secret|session|password")


class HeaderApproval(StrEnum):
    """Whether the client sends a header. ``PENDING`` asks its user when first needed."""

    APPROVED = "approved"
    DENIED = "denied"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Header:
    """One header; its value stands in no ``repr``.

    ``reason`` is what the client's user reads when asked to approve it. To ``set_headers``
    None means, each for itself: leave as it is.
    """

    value: str | None = field(default=None, repr=False)
    approved: HeaderApproval | None = None
    reason: str | None = None


class HeadersAnswer(BaseModel):
    """GET /manage_headers/get_headers."""

    headers: dict[str, Header]


class HeaderRoutes(Calls):
    """Routes about headers; all need "manage cookies and headers"."""

    async def get_headers(self, domain: str | None = None) -> dict[str, Header]:
        """Give the headers set for all websites, or for one domain, by name.

        A domain's are those set for exactly it; the client also sends them to its
        subdomains. Raises RequestRejected for a domain without a dot. Needs Client API ≥ 43
        and "manage cookies and headers".
        """
        self._require(GET_HEADERS)
        answer = await self._ask(HeadersAnswer, GET_HEADERS, params=_context(domain))
        for name, header in answer.headers.items():
            _hide(name, header.value)
        return answer.headers

    async def set_headers(
        self, headers: Mapping[str, str | Header | None], domain: str | None = None
    ) -> None:
        """Set headers for all websites, or for one domain. Safe to repeat.

        For each name a value, or a Header, or None to delete it. A new header is approved
        unless it says otherwise. Raises RequestRejected for a domain without a dot, for a
        Header in which nothing is given, and where the client has no such header to which
        only approval or reason are given; then others may have been set already. Needs
        Client API ≥ 43 and "manage cookies and headers".
        """
        self._require(SET_HEADERS)
        context = _context(domain)
        values: dict[str, dict[str, str | None]] = {}
        details: dict[str, dict[str, str]] = {}
        for name, wanted in headers.items():
            header = wanted if isinstance(wanted, Header) else Header(wanted)
            detail = {}
            if header.approved is not None:
                detail["approved"] = HeaderApproval(header.approved).value
            if header.reason is not None:
                detail["reason"] = header.reason
            if header.value is not None or wanted is None:
                _hide(name, header.value)
                values[name] = {"value": header.value, **detail}
            elif not detail:
                raise RequestRejected(f"nothing is given for the header {name[:80]!r}")
            if detail:
                details[name] = detail
        if values:
            await self._tell(SET_HEADERS, {**context, "headers": values})
        if details:
            # Beside a value which it has already, the client overlooks approval and reason.
            await self._tell(SET_HEADERS, {**context, "headers": details})

    async def set_user_agent(self, user_agent: str) -> None:
        """Set the User-Agent that the client shows to all websites; "" gives its default.

        Needs Client API ≥ 17 and "manage cookies and headers".
        """
        self._require(SET_USER_AGENT)
        if user_agent and self.info.api_version >= SET_HEADERS.since_api:
            # The same, without the complaint that the other route leaves in the client's log.
            await self.set_headers({"User-Agent": user_agent})
        else:
            await self._tell(SET_USER_AGENT, {"user-agent": user_agent})


def _context(domain: str | None) -> dict[str, object]:
    if domain is None:
        return {}
    if "." not in domain:
        raise RequestRejected(f"not a domain, it has no dot: {domain[:80]!r}")
    return {"domain": domain}


def _hide(name: str, value: str | None) -> None:
    if value and _SECRET.search(name):
        register(value, lasting=False)
