"""Visiting an address on the web again and again, without being a nuisance.

What was learned of the last visit is remembered with what it brought: a restart asks no
earlier than was due, and a server that can say "not changed" is given the chance. One that
fails is asked less and less often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

from anyio import to_thread
from pydantic import AfterValidator

from hydrusd.builtin.triggers._url_lines import plain_form
from hydrusd.plugin import Event, HttpReply, PermanentError, TemporaryError, TriggerContext, fetch

BATCH = 500
"""How many events are handed over at once."""
LONGEST_PAUSE_SECONDS = 6 * 3600.0
"""How seldom an address is asked that fails every time, unless the rule says less often."""
_MEMORY = "visit"
_CONDITIONS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


def _on_the_web(url: str) -> str:
    if plain_form(url) is None:
        raise ValueError("must be a URL that begins with http:// or https://")
    return url


WebAddress = Annotated[str, AfterValidator(_on_the_web)]


class Unreadable(Exception):
    """What an address gave is not what was expected there. The text says why."""


@dataclass(frozen=True, slots=True)
class Visits:
    """How to visit an address.

    ``accept`` says what is wanted, as HTTP does; ``read`` makes events of an answer, in a
    thread, and raises ``Unreadable``. Without ``backfill``, what the first visit finds is
    passed over.
    """

    url: str
    every_seconds: float
    backfill: bool
    accept: str
    read: Callable[[HttpReply], Sequence[Event]]

    async def run(self, context: TriggerContext) -> None:
        """Visit until cancelled."""
        failures = 0
        while True:
            memory = await self._memory(context)
            await context.clock.sleep(self._seconds_until_due(memory, context.clock.now()))
            while True:
                try:
                    await self._visit(context, memory)
                except (TemporaryError, PermanentError, Unreadable) as error:
                    failures += 1
                    context.waiting(f"{error}; asked again later, by itself")
                    await context.clock.sleep(self._pause_seconds(failures, error))
                else:
                    failures = 0
                    context.working()
                    break

    async def _memory(self, context: TriggerContext) -> Mapping[str, str]:
        memory = await context.recall(_MEMORY)
        return memory if isinstance(memory, Mapping) else {}

    def _seconds_until_due(self, memory: Mapping[str, str], now: datetime) -> float:
        if not memory:
            return 0.0
        passed = (now - datetime.fromisoformat(memory["at"])).total_seconds()
        # A clock that was set back must not keep anyone waiting for longer than usual.
        return min(max(self.every_seconds - passed, 0.0), self.every_seconds)

    def _pause_seconds(self, failures: int, error: Exception) -> float:
        longest = max(self.every_seconds, LONGEST_PAUSE_SECONDS)
        pause = min(self.every_seconds * 2.0 ** min(failures, 30), longest)
        asked_for = error.delay_seconds if isinstance(error, TemporaryError) else None
        return max(pause, asked_for or 0.0)

    async def _visit(self, context: TriggerContext, memory: Mapping[str, str]) -> None:
        conditions = {
            header: memory[name] for name, header in _CONDITIONS.items() if name in memory
        }
        reply = await fetch(self.url, headers={"Accept": self.accept, **conditions})
        now = context.clock.now()
        if reply.status == 304 and conditions:
            await context.emit([], remember={_MEMORY: {**memory, "at": now.isoformat()}})
            return
        if reply.status != 200:
            raise TemporaryError(
                f"{_shown(self.url)} answered with status {reply.status}",
                delay_seconds=_retry_after_seconds(reply, now),
            )
        found = await to_thread.run_sync(self.read, reply, abandon_on_cancel=True)
        kept = {name: reply.headers[name] for name in _CONDITIONS if name in reply.headers}
        await self._hand_over(
            context, found, first=not memory, remember={_MEMORY: {"at": now.isoformat(), **kept}}
        )

    async def _hand_over(
        self,
        context: TriggerContext,
        found: Sequence[Event],
        *,
        first: bool,
        remember: Mapping[str, object],
    ) -> None:
        events = list({event.key: event for event in reversed(found)}.values())[::-1]
        batches = [events[start : start + BATCH] for start in range(0, len(events), BATCH)] or [[]]
        for number, batch in enumerate(batches, start=1):
            # Remembered with the last: what a crash leaves out, the next visit finds.
            kept = remember if number == len(batches) else None
            if first and not self.backfill:
                reason = f"was there already when {_shown(self.url)} was looked at first"
                await context.pass_over(batch, reason, remember=kept)
                continue
            unseen = await context.unseen([event.key for event in batch]) if batch else set()
            news = [event for event in batch if event.key in unseen]
            await context.emit(news, remember=kept)


def _shown(url: str) -> str:
    """Give a URL without what may be a secret in it."""
    address = url.partition("?")[0].partition("#")[0]
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _retry_after_seconds(reply: HttpReply, now: datetime) -> float | None:
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_PAUSE_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), LONGEST_PAUSE_SECONDS)
