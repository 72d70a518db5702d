"""The trigger that notices cookies of the client which are about to expire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from hydrusd.plugin import (
    Cookie,
    Duration,
    Event,
    HydrusUnavailable,
    Trigger,
    TriggerContext,
    WebDomains,
    cookie_expiry,
    covers,
)

AWAY_SECONDS = 5.0


class CookieExpiring(Trigger):
    """Notice cookies that Hydrus has and that expire soon, before a download fails for it.

    Each cookie is noticed once; again when it has a new expiry. Sites renew some of theirs every
    few minutes, so name those that matter with `names`: the ones that keep you logged in.

    Conditions and templates see `cookie.domain`, `cookie.name`, `cookie.path`, `cookie.expires`
    (as in `2026-12-24T18:00:00+00:00`) and `cookie.days_left`.
    """

    trigger: ClassVar[str] = "cookie_expiring"
    gives: ClassVar[Mapping[str, Any] | None] = {
        "cookie": {"domain": None, "name": None, "path": None, "expires": None, "days_left": None}
    }

    domains: WebDomains = Field(
        min_length=1, description="The domains, each with its subdomains: a list, or only one."
    )
    names: tuple[str, ...] = Field(default=(), description="Only cookies with these names.")
    before: Duration = Field(
        default=7 * 86_400.0,
        gt=0,
        description="How long before it expires a cookie is noticed.",
        json_schema_extra={"default": "7d"},
    )
    every: Duration = Field(
        default=6 * 3600.0,
        ge=60,
        description="How often to look.",
        json_schema_extra={"default": "6h"},
    )

    async def run(self, context: TriggerContext) -> None:
        """Look now and then."""
        away = False
        while True:
            try:
                events = await self._look(context)
            except HydrusUnavailable as error:
                if not away:
                    context.waiting(str(error))
                away = True
                await context.clock.sleep(min(AWAY_SECONDS, self.every))
                continue
            away = False
            await context.emit(events)
            context.working(f"watching the cookies of {', '.join(self.domains)}")
            await context.clock.sleep(self.every)

    async def _look(self, context: TriggerContext) -> list[Event]:
        found: dict[str, Event] = {}
        for domain in self.domains:
            # The answer holds those of sister domains too.
            for cookie in await context.client.get_cookies(domain):
                now = context.clock.now()
                if covers(domain, cookie.domain) and self._dies_soon(cookie, now.timestamp()):
                    event = Event(self._key(cookie), {"cookie": cookie_expiry(cookie, now)})
                    found[event.key] = event
        return list(found.values())

    def _dies_soon(self, cookie: Cookie, now_seconds: float) -> bool:
        return (
            cookie.expires is not None
            and cookie.expires <= now_seconds + self.before
            and (not self.names or cookie.name in self.names)
        )

    def _key(self, cookie: Cookie) -> str:
        # ``before`` too: a second rule may want to hear of the same cookie a second time.
        return json.dumps([self.before, *cookie.identity, cookie.expires])
