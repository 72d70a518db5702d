"""The trigger that notices that a user has put a popup away.

It is the one answer that a user can give which is nothing else. A popup with a cancel button
looks the same when it was pressed and when Hydrus is being closed, which cancels them all
while the API still answers. Putting away is different: Hydrus does not do so by itself. So what
is noticed is that a popup is no longer there while the client still is, and the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from hydrusd.builtin.actions._popups import Mark
from hydrusd.plugin import Duration, Event, HydrusUnavailable, Popup, Trigger, TriggerContext

_OPEN, _BOOT = "open", "boot"


class PopupPutAway(Trigger):
    """Notice that the user has put away a popup, with a right click or with "dismiss all".

    It must be one that the action `show_popup` showed under this `name`, and without
    `dismiss_after`. One that was there for less than `every` may not be noticed at all; one
    that is gone because Hydrus was closed is not noticed.

    Conditions and templates see `popup.name`, `popup.title`, `popup.message` and `popup.files`
    (how many). The files that it offered are those that the rule is about.

    Needs Client API ≥ 57 and the permission to manage popups.
    """

    trigger: ClassVar[str] = "popup"
    shared: ClassVar[bool] = False
    gives: ClassVar[Mapping[str, Any] | None] = {
        "popup": {"name": None, "title": None, "message": None, "files": None},
        "hash": None,
        "hashes": None,
    }

    name: str = Field(min_length=1, description="The `name` that show_popup gave it.")
    every: Duration = Field(
        default=5.0,
        ge=1,
        description="How often to look.",
        json_schema_extra={"default": "5s"},
    )

    @property
    def patience(self) -> float:
        """Give how often it asks."""
        return self.every

    async def run(self, context: TriggerContext) -> None:
        """Look until cancelled."""
        remembered = await context.recall(_OPEN)
        known = dict(remembered) if isinstance(remembered, Mapping) else {}
        boot = await context.recall(_BOOT)
        said = ""
        while True:
            try:
                popups = await context.client.get_popups()
                # Asked last: if it is still the client of last time, the popups are that one's.
                now = await context.client.boot()
            except HydrusUnavailable as error:
                if said != str(error):
                    said = str(error)
                    context.waiting(said)
            else:
                if said != self.name:
                    said = self.name
                    context.working(f"looking for popups named {said!r}")
                mine = {p.key: _told(p) for p in popups if self._is_meant(p)}
                there = {p.key for p in popups}
                gone = {k: told for k, told in known.items() if now == boot and k not in there}
                if mine != known or now != boot:
                    events = [self._event(key, told) for key, told in gone.items()]
                    await context.emit(events, remember={_OPEN: mine, _BOOT: now})
                    known, boot = dict(mine), now
            await context.clock.sleep(self.every)

    def _is_meant(self, popup: Popup) -> bool:
        mark = Mark.of(popup)
        return mark is not None and mark.name == self.name and not mark.passing

    def _event(self, key: str, told: Mapping[str, object]) -> Event:
        hashes = told.get("hashes")
        files: list[object] = hashes if isinstance(hashes, list) else []
        about = {"hash": files[0], "hashes": files} if files else {}
        popup = {
            "name": self.name,
            "title": told.get("title"),
            "message": told.get("message"),
            "files": len(files),
        }
        return Event(f"{key} put away", {"popup": popup, **about})


def _told(popup: Popup) -> dict[str, object]:
    return {
        "title": popup.status_title or "",
        "message": popup.status_text_1 or "",
        "hashes": list(popup.files.hashes) if popup.files else [],
    }
