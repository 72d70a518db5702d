"""Tells people elsewhere: by mail, in a chat, on a phone.

The only module that imports apprise, which is no part of every installation. Addresses hold
passwords, so they are secrets as a whole, and nothing of them is told but their kind.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from anyio import to_thread
from pydantic import BeforeValidator, Field, WithJsonSchema

from hydrusd.plugin import (
    AnyAction,
    Call,
    Clock,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    OutsideAction,
    PermanentError,
    PlainSecret,
    Secret,
)

if TYPE_CHECKING:
    import apprise

MOST_LINES = 10
MOST_A_MINUTE = 20

_MISSING = "notify needs the package 'apprise'"
_HOW_TO_GET = 'pip install "hydrusd[notify]"'

_TEXT = {"type": "string", "pattern": r"\$\{"}

_begun: deque[float] = deque()


class Notify(OutsideAction):
    """Tell people elsewhere: by mail, in a chat, on a phone, through a hundred services.

    `to` is an address as [Apprise](https://github.com/caronc/apprise) writes it. It holds a
    password or a token, so it is kept elsewhere, as in `${env:NAME}`. At most 20
    notifications leave in a minute; others wait. Needs `pip install "hydrusd[notify]"`.

    Where at least one of several addresses takes it, the step is done.
    """

    action: ClassVar[str] = "notify"
    repeat_shows: ClassVar[bool] = True
    no_undo: ClassVar[str] = "what was told cannot be untold"

    to: Annotated[
        list[PlainSecret],
        BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
        WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}),
    ] = Field(
        min_length=1, description="The address, or a list of them, each in the form `${env:NAME}`."
    )
    body: str = Field(description="The text; may hold templates.")
    title: str | None = Field(
        default=None, description="What stands above it. Without: the rule's name."
    )
    kind: Literal["info", "success", "warning", "failure"] = Field(
        default="info", description="How it is marked, where the service can."
    )
    each: bool = Field(
        default=True,
        description=(
            "`false` joins what comes at the same time and has the same title: up to 10 texts, "
            "and how many more there are."
        ),
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name the package that is missing, and addresses that are none."""
        del client
        if importlib.util.find_spec("apprise") is None:
            yield Fault(_MISSING, _HOW_TO_GET)
            return
        try:
            _services(self.to)
        except PermanentError as error:
            yield Fault(str(error), path=("to",))

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be told."""
        plans = []
        for call in calls:
            assert isinstance(call.action, Notify)
            plans.append(Foreseen(f"would notify: {call.action.body}"))
        return plans

    @classmethod
    def groups(cls, calls: Sequence[Call[Any]]) -> Sequence[Sequence[Call[Any]]]:
        """Join what may be joined."""
        groups: dict[object, list[Call[Any]]] = {}
        for call in calls:
            action = call.action
            assert isinstance(action, Notify)
            alike = (tuple(action.to), action.title, action.kind, action.if_interrupted)
            groups.setdefault(call if action.each else alike, []).append(call)
        return list(groups.values())

    @classmethod
    def may_begin(cls, call: Call[Any]) -> bool:
        """Keep to the pace."""
        return _in_pace(call.clock)

    @classmethod
    async def perform(cls, calls: Sequence[Call[Any]]) -> Outcome:
        """Send one notification for all of these."""
        first = calls[0].action
        assert isinstance(first, Notify)
        lines = [call.action.body for call in calls[:MOST_LINES]]
        if more := len(calls) - len(lines):
            lines.append(f"and {more} more")
        title = calls[0].rule if first.title is None else first.title
        services = await to_thread.run_sync(_services, first.to)
        text = "\n".join(lines).strip() or title or calls[0].rule  # no service takes none
        send = partial(_send, services, title, text, first.kind)
        failed = await to_thread.run_sync(send, abandon_on_cancel=True)
        taken = len(services) - len(failed)
        values = {"sent": taken, "failed": failed}
        if not taken:
            return Outcome.retry(f"{' and '.join(failed)} did not take the notification")
        but = f"; {' and '.join(failed)} did not take it" if failed else ""
        return Outcome.done(f"sent to {taken} of {len(services)}{but}", values=values)


def _services(addresses: Sequence[Secret]) -> list[apprise.NotifyBase]:
    """Give what the addresses stand for. Raises PermanentError."""
    try:
        import apprise
    except ImportError:
        raise PermanentError(f"{_MISSING}: {_HOW_TO_GET}") from None
    asset = apprise.AppriseAsset(
        app_id="hydrusd",
        app_desc="hydrusd",
        storage_mode=apprise.PersistentStoreMode.MEMORY,  # nothing of it on the disk
    )
    services = []
    for address in addresses:
        with warnings.catch_warnings():  # some of its services use what Python gives up
            warnings.simplefilter("ignore", DeprecationWarning)
            service = apprise.Apprise.instantiate(address.reveal(), asset=asset)
        if service is None:
            raise PermanentError(f"what {address!r} holds is no address that Apprise knows")
        services.append(service)
    return services


def _send(services: Sequence[apprise.NotifyBase], title: str, body: str, kind: str) -> list[str]:
    """Send it; give the kinds of those services that did not take it."""
    return [
        str(service.service_name)
        for service in services
        if not service.notify(body=body, title=title, notify_type=kind)
    ]


def _in_pace(clock: Clock) -> bool:
    now = clock.monotonic()
    while _begun and not now - 60 < _begun[0] <= now:
        _begun.popleft()
    if len(_begun) >= MOST_A_MINUTE:
        return False
    _begun.append(now)
    return True
