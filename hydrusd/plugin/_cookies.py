"""Handing the client the cookies that some place has, whatever that place is.

Where cookies come from differs: files, browsers. What has to be right about sending them
does not, and it is all here. The client is asked first and sent only what differs. What has
expired is not sent. Nothing is removed on the word of a source that is empty, damaged or
silent about a site. And domains, names and counts are all that is told of any of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, Self, cast

import structlog
from anyio import to_thread
from pydantic import Field, model_validator

from hydrusd.errors import ActionError, PermanentError
from hydrusd.hydrus import Cookie, HydrusClient, Permission
from hydrusd.model import Data, Outcome
from hydrusd.plugin._action import Action, AnyAction, Call, Fault, Foreseen
from hydrusd.plugin._websites import HeaderText, WebDomains, covers
from hydrusd.rules import Duration

USER_AGENT = "User-Agent"
HEADERS_SINCE_API = 43
MOST_TOLD = 10
"""How many of a kind a text names before the others are only counted."""
LATEST = 253_402_300_799
"""The last second of the year 9999: no date is later, and no site means a later one."""

log = structlog.get_logger("hydrusd.cookies")


@dataclass(frozen=True, slots=True)
class FoundCookies:
    """The cookies that a place has, expired ones too.

    ``origin`` names the place in texts. ``faults`` are what could not be read there, each a
    text without values ("line 4: it has 3 columns, not 7"). The rest is used, but nothing is
    removed for not being there.
    """

    origin: str
    cookies: Sequence[Cookie]
    faults: Sequence[str] = ()


@dataclass(slots=True)
class _Changes:
    """What there is to do, and what is to be told."""

    wanted: Sequence[Cookie]
    notes: list[str]
    new: list[Cookie] = field(default_factory=list)
    changed: list[Cookie] = field(default_factory=list)
    removed: list[Cookie] = field(default_factory=list)
    agents: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Domains whose User-Agent is another: the header as it is spelt there, and its value."""
    expiring: Sequence[Cookie] = ()
    faults: Sequence[str] = ()

    @property
    def any(self) -> bool:
        return bool(self.new or self.changed or self.removed or self.agents)

    @property
    def summary(self) -> str:
        parts = [f"{len(self.new)} new", f"{len(self.changed)} changed"]
        parts += [f"{len(self.removed)} removed"] if self.removed else []
        parts += [f"User-Agent of {_listed(self.agents)}"] if self.agents else []
        some = ", ".join(parts) if self.any else "all are there already"
        expiring = [_dies(cookie) for cookie in self.expiring]
        told = [_listed(expiring, "; ")] if expiring else []
        told += [f"not read: {_listed(self.faults, '; ')}"] if self.faults else []
        return "; ".join([f"{_count(self.wanted, 'cookie')}: {some}", *self.notes, *told])

    def values(self, now: datetime) -> Data:
        return {
            "new": len(self.new),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "expiring": [cookie_expiry(cookie, now) for cookie in self.expiring],
            "faults": list(self.faults),
        }


class CookieAction(Action):
    """An action that gives the client cookies. A subclass says where they come from: ``read``.

    Everything else is done here, and the parameters for it are inherited.
    """

    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_HEADERS})
    no_undo: ClassVar[str] = "what cookies were is not kept, as they are secrets"

    domains: WebDomains = Field(
        default=(), description="Send only cookies of these domains and their subdomains."
    )
    session_cookies: Literal["keep", "drop"] = Field(
        default="keep", description="Whether to send cookies that have no expiry."
    )
    delete_missing: bool = Field(
        default=False,
        description=(
            "Remove what Hydrus has for `domains` and the source has not. Not done for a domain "
            "of which the source has nothing to send, nor where a part of it cannot be read."
        ),
    )
    warn_before: Duration | None = Field(
        default=None, description="Warn of cookies that expire within this time."
    )
    warn_names: tuple[str, ...] = Field(
        default=(), description="Warn only of cookies with these names."
    )
    user_agent: HeaderText | None = Field(
        default=None,
        description="The User-Agent that Hydrus shows to `domains`: take that of the browser.",
    )

    @model_validator(mode="after")
    def _needs_domains(self) -> Self:
        for name in ("delete_missing", "user_agent"):
            if getattr(self, name) and not self.domains:
                raise ValueError(f"'{name}' needs 'domains', which say for what websites")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Say where the client is too old for a User-Agent of one domain."""
        version = client.info.api_version
        if self.user_agent and version < HEADERS_SINCE_API:
            yield Fault(
                f"a User-Agent of single domains needs Client API ≥ {HEADERS_SINCE_API}, "
                f"this client speaks {version}",
                path=("user_agent",),
            )

    def read(self, call: Call[Action]) -> FoundCookies:
        """Give the cookies of the source. Called in a thread.

        Raises TemporaryError or PermanentError, with a reason that shows no values.
        """
        raise NotImplementedError  # see Action.run

    async def run(self, call: Call[Action]) -> Outcome:
        """Send what the client does not have as the source has it."""
        found, changes = await self._compare(call)
        gone = [Cookie(cookie.name, None, cookie.domain, cookie.path) for cookie in changes.removed]
        await call.client.set_cookies([*changes.new, *changes.changed, *gone])
        for domain, (name, _) in changes.agents.items():
            await call.client.set_headers({name: self.user_agent}, domain)
        if changes.expiring:
            soon = _listed([_dies(cookie) for cookie in changes.expiring], "; ")
            log.warning(f"rule {call.rule!r}: {found.origin}: {soon}", rule=call.rule)
        return Outcome.done(
            changes.summary,
            values=changes.values(call.clock.now()),
            receipt=_receipt(call, changes),
        )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Read and compare."""
        foreseen = []
        for call in calls:
            assert isinstance(call.action, CookieAction)
            try:
                _, changes = await call.action._compare(  # noqa: SLF001 - its own
                    cast("Call[Action]", call)
                )
            except ActionError as error:
                foreseen.append(Foreseen.dead(str(error)))
            else:
                values = changes.values(call.clock.now())
                foreseen.append(Foreseen(changes.summary, changes.any, values))
        return foreseen

    # --- comparing -----------------------------------------------------------------------

    async def _compare(self, call: Call[Action]) -> tuple[FoundCookies, _Changes]:
        found = await to_thread.run_sync(self.read, call, abandon_on_cancel=True)
        covered = [c for c in found.cookies if not self.domains or _any_covers(self.domains, c)]
        changes = self._chosen(found, covered, call.clock.now())
        served = [d for d in self.domains if any(covers(d, c.domain) for c in changes.wanted)]
        if silent := [domain for domain in self.domains if domain not in served]:
            changes.notes.append(f"none to send of {_listed(silent)}")
        held = await _held(call.client, [*(c.domain for c in changes.wanted), *served])
        for cookie in changes.wanted:
            before = held.get(cookie.identity)
            if before is None:
                changes.new.append(cookie)
            elif (before.value, before.expires) != (cookie.value, cookie.expires):
                changes.changed.append(cookie)
        if self.delete_missing and found.faults:
            changes.notes.append("nothing removed, since not all could be read")
        elif self.delete_missing:
            kept = {cookie.identity for cookie in covered}
            missing = [cookie for identity, cookie in held.items() if identity not in kept]
            changes.removed += [cookie for cookie in missing if _any_covers(served, cookie)]
        if self.user_agent is not None:
            agents = {domain: await _agent_of(call.client, domain) for domain in self.domains}
            changes.agents = {
                d: agent for d, agent in agents.items() if agent[1] != self.user_agent
            }
        return found, changes

    def _chosen(self, found: FoundCookies, covered: Sequence[Cookie], now: datetime) -> _Changes:
        """Choose what is to be there, each once. Raises PermanentError where that is nothing."""
        which = f" of {_listed(self.domains)}" if self.domains else ""
        if not covered:
            others = f", only {len(found.cookies)} of other domains" if found.cookies else ""
            raise PermanentError(f"there is no cookie{which} in {found.origin}{others}")
        reasons = [self._why_not(cookie, now) for cookie in covered]
        counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons) if reason}
        left_out = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        wanted = {c.identity: c for c, reason in zip(covered, reasons, strict=True) if not reason}
        if not wanted:
            raise PermanentError(
                f"there is no cookie{which} in {found.origin} that can be sent: {left_out}"
            )
        return _Changes(
            list(wanted.values()),
            [f"left out: {left_out}"] if left_out else [],
            expiring=[cookie for cookie in wanted.values() if self._dies_soon(cookie, now)],
            faults=found.faults,
        )

    def _why_not(self, cookie: Cookie, now: datetime) -> str:
        if cookie.expires is not None and cookie.expires <= now.timestamp():
            return "expired"
        if cookie.expires is None and self.session_cookies == "drop":
            return "without expiry"
        # Hydrus cannot be asked about them, so nothing could be compared.
        return "" if "." in cookie.domain.strip(".") else "of a host without a dot"

    def _dies_soon(self, cookie: Cookie, now: datetime) -> bool:
        return (
            self.warn_before is not None
            and cookie.expires is not None
            and cookie.expires <= now.timestamp() + self.warn_before
            and (not self.warn_names or cookie.name in self.warn_names)
        )


def _any_covers(domains: Iterable[str], cookie: Cookie) -> bool:
    return any(covers(domain, cookie.domain) for domain in domains)


async def _held(client: HydrusClient, domains: Iterable[str]) -> dict[tuple[str, str, str], Cookie]:
    """Give what the client has for these domains and below them.

    Each is asked about by itself: only the client knows which of them share a session, and a
    cookie that lies in another's session is one that it would not send.
    """
    held: dict[tuple[str, str, str], Cookie] = {}
    hosts = {domain.strip(".").lower() for domain in domains}
    for host in sorted(hosts):
        for cookie in await client.get_cookies(host):
            bare = cookie.domain.strip(".").lower()
            if bare == host or bare not in hosts:
                held[cookie.identity] = cookie
    return held


async def _agent_of(client: HydrusClient, domain: str) -> tuple[str, str | None]:
    """Give the User-Agent that is set for a domain: the name as it is spelt, and the value."""
    for name, header in (await client.get_headers(domain)).items():
        if name.lower() == USER_AGENT.lower():
            return name, header.value
    return USER_AGENT, None


def _receipt(call: Call[Action], changes: _Changes) -> Data:
    """Name what was really done; what an earlier run of this step did is part of it."""
    earlier = call.earlier.receipt if call.earlier is not None else None
    before: Mapping[str, object] = earlier if earlier is not None else {}
    receipt: dict[str, object] = {}
    for kind in ("new", "changed", "removed"):
        known = before.get(kind)
        rows = list(known) if isinstance(known, list) else []
        rows += [row for c in getattr(changes, kind) if (row := list(c.identity)) not in rows]
        receipt[kind] = rows
    agents = before.get("user_agents")
    receipt["user_agents"] = {domain: value for domain, (_, value) in changes.agents.items()} | (
        dict(agents) if isinstance(agents, Mapping) else {}
    )
    return receipt


def cookie_expiry(cookie: Cookie, now: datetime) -> dict[str, object]:
    """Give what may be said of a cookie that expires: plain data, no value.

    ``expires`` is in ISO format, UTC; ``days_left`` counts whole days, 0 for the last one.
    """
    assert cookie.expires is not None
    left = timedelta(seconds=min(cookie.expires, LATEST) - now.timestamp())
    return {
        "domain": cookie.domain,
        "name": cookie.name,
        "path": cookie.path,
        "expires": _moment(cookie).isoformat(),
        "days_left": max(left.days, 0),
    }


def _moment(cookie: Cookie) -> datetime:
    seconds = min(max(cookie.expires or 0, 0), LATEST)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _dies(cookie: Cookie) -> str:
    return f"{cookie.name!r} of {cookie.domain} expires at {_moment(cookie):%Y-%m-%d %H:%M} UTC"


def _count(what: Collection[object], noun: str) -> str:
    return f"{len(what)} {noun}{'s' if len(what) != 1 else ''}"


def _listed(texts: Collection[str], separator: str = ", ") -> str:
    shown = separator.join(list(texts)[:MOST_TOLD])
    more = len(texts) - MOST_TOLD
    return f"{shown} and {more} more" if more > 0 else shown
