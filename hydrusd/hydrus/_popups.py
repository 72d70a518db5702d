"""Popups: telling the client's user what goes on, in the corner of the client's window.

One that can be cancelled or paused stays until its maker finishes it, so finish in a
``finally`` and keep the key where a restart finds it. Keys die with the client, and a
popup that its user has dismissed is gone: RequestRejected then, which is no misfortune.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from hydrusd.errors import RequestRejected

from ._calls import Calls, Route, checked_hashes
from ._models import Moment
from ._permissions import Permission

GET_POPUPS = Route("GET", "/manage_popups/get_popups", Permission.MANAGE_POPUPS, since_api=57)
ADD_POPUP = Route("POST", "/manage_popups/add_popup", Permission.MANAGE_POPUPS, since_api=57)
UPDATE_POPUP = Route("POST", "/manage_popups/update_popup", Permission.MANAGE_POPUPS, since_api=57)
FINISH_POPUP = Route("POST", "/manage_popups/finish_popup", Permission.MANAGE_POPUPS, since_api=57)
FINISH_AND_DISMISS_POPUP = Route(
    "POST", "/manage_popups/finish_and_dismiss_popup", Permission.MANAGE_POPUPS, since_api=57
)
DISMISS_POPUP = Route(
    "POST", "/manage_popups/dismiss_popup", Permission.MANAGE_POPUPS, since_api=57
)
CANCEL_POPUP = Route("POST", "/manage_popups/cancel_popup", Permission.MANAGE_POPUPS, since_api=57)
CALL_USER_CALLABLE = Route(
    "POST", "/manage_popups/call_user_callable", Permission.MANAGE_POPUPS, since_api=57
)

Gauge = tuple[int, int]


class Unchanged(Enum):
    """The type of UNCHANGED."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
"""What an update leaves alone; None would clear it."""

_Unchanged = Literal[Unchanged.UNCHANGED]


@dataclass(frozen=True, slots=True)
class PopupFiles:
    """Files behind a button of a popup: their SHA-256, and the button's text."""

    hashes: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Popup:
    """One popup, ours or one of the client's own, as it stood when asked.

    ``text`` is all of its text as the user sees it. The gauges are how much is done and
    of how much; either may be unknown. ``api_data`` is whatever its maker wants to find
    again. ``user_callable_label`` is the text of its button, and ``network_job`` what it
    downloads, as the client describes it.
    """

    key: str
    creation_time: Moment = None
    text: Annotated[str, Field(validation_alias="nice_string")] = ""
    status_title: str | None = None
    status_text_1: str | None = None
    status_text_2: str | None = None
    traceback: str | None = None
    had_error: bool = False
    is_cancellable: bool = False
    is_cancelled: bool = False
    is_done: bool = False
    is_pausable: bool = False
    is_paused: bool = False
    popup_gauge_1: tuple[int | float | None, int | float | None] | None = None
    popup_gauge_2: tuple[int | float | None, int | float | None] | None = None
    attached_files_mergable: bool = False
    api_data: Mapping[str, object] | None = None
    files: PopupFiles | None = None
    user_callable_label: str | None = None
    network_job: Mapping[str, object] | None = None


class PopupAnswer(BaseModel):
    """POST /manage_popups/add_popup and update_popup."""

    job_status: Popup


class PopupsAnswer(BaseModel):
    """GET /manage_popups/get_popups."""

    job_statuses: tuple[Popup, ...]


class PopupRoutes(Calls):
    """Routes about popups; all need Client API ≥ 57 and "manage popups".

    Those that take the key of a popup raise RequestRejected where the client has none such
    (any more).
    """

    async def get_popups(self, *, only_in_view: bool = False) -> tuple[Popup, ...]:
        """Give all popups, or only those that there is room for in the client's window.

        Needs Client API ≥ 57 and "manage popups".
        """
        self._require(GET_POPUPS)
        answer = await self._ask(PopupsAnswer, GET_POPUPS, params={"only_in_view": only_in_view})
        return answer.job_statuses

    async def add_popup(
        self,
        *,
        status_title: str | None = None,
        status_text_1: str | None = None,
        status_text_2: str | None = None,
        popup_gauge_1: Gauge | None = None,
        popup_gauge_2: Gauge | None = None,
        api_data: Mapping[str, object] | None = None,
        hashes: Sequence[str] = (),
        files_label: str = "",
        is_cancellable: bool = False,
        is_pausable: bool = False,
        attached_files_mergable: bool = False,
    ) -> Popup:
        """Show a popup, and give it with the key by which it is updated and finished.

        A gauge is how much is done and of how much, in whole numbers. ``hashes`` are SHA-256
        in hexadecimal of files to show behind a button, ``files_label`` its text, which they
        need. A popup that can be cancelled or paused stays until it is finished; any other
        is done from the start. With ``attached_files_mergable`` the client may merge
        popups of the same label. Not safe to repeat: that gives a second one.

        Raises RequestRejected for a gauge in fractions and for files without a label. Needs
        Client API ≥ 57 and "manage popups".
        """
        self._require(ADD_POPUP)
        content = _content(
            {
                "status_title": status_title,
                "status_text_1": status_text_1,
                "status_text_2": status_text_2,
                "popup_gauge_1": popup_gauge_1,
                "popup_gauge_2": popup_gauge_2,
                "api_data": api_data,
            },
            hashes,
            files_label,
        )
        given = {name: value for name, value in content.items() if value is not None}
        flags = {
            "is_cancellable": is_cancellable,
            "is_pausable": is_pausable,
            "attached_files_mergable": attached_files_mergable,
        }
        return await self._popup(ADD_POPUP, {**given, **flags})

    async def update_popup(
        self,
        key: str,
        *,
        status_title: str | _Unchanged | None = UNCHANGED,
        status_text_1: str | _Unchanged | None = UNCHANGED,
        status_text_2: str | _Unchanged | None = UNCHANGED,
        popup_gauge_1: Gauge | _Unchanged | None = UNCHANGED,
        popup_gauge_2: Gauge | _Unchanged | None = UNCHANGED,
        api_data: Mapping[str, object] | _Unchanged | None = UNCHANGED,
        hashes: Sequence[str] = (),
        files_label: str = "",
    ) -> Popup:
        """Change what a popup shows, and give it as it is then. Safe to repeat.

        None clears. ``hashes`` replace the files it had; Hydrus cannot take them away
        altogether. The rest is as with ``add_popup``. Needs Client API ≥ 57 and "manage
        popups".
        """
        self._require(UPDATE_POPUP)
        content = _content(
            {
                "status_title": status_title,
                "status_text_1": status_text_1,
                "status_text_2": status_text_2,
                "popup_gauge_1": popup_gauge_1,
                "popup_gauge_2": popup_gauge_2,
                "api_data": api_data,
            },
            hashes,
            files_label,
        )
        return await self._popup(UPDATE_POPUP, {"job_status_key": key, **content})

    async def finish_popup(self, key: str) -> None:
        """Say that the work behind a popup is done; its user may dismiss it then.

        Safe to repeat. Needs Client API ≥ 57 and "manage popups".
        """
        await self._do_to(FINISH_POPUP, key)

    async def finish_and_dismiss_popup(self, key: str, *, seconds: int | None = None) -> None:
        """Say that the work is done, and take the popup away after so many whole seconds.

        With None, at once. Needs Client API ≥ 57 and "manage popups".
        """
        more = {} if seconds is None else {"seconds": _whole("seconds", seconds)}
        await self._do_to(FINISH_AND_DISMISS_POPUP, key, **more)

    async def dismiss_popup(self, key: str) -> None:
        """Take a popup away if its work is done; otherwise nothing happens.

        Needs Client API ≥ 57 and "manage popups".
        """
        await self._do_to(DISMISS_POPUP, key)

    async def cancel_popup(self, key: str) -> None:
        """Cancel the work behind a popup if it can be cancelled; otherwise nothing happens.

        Needs Client API ≥ 57 and "manage popups".
        """
        await self._do_to(CANCEL_POPUP, key)

    async def call_user_callable(self, key: str) -> None:
        """Press the button of a popup, whatever it does.

        Not safe to repeat. Raises RequestRejected also where it has none. Needs Client
        API ≥ 57 and "manage popups".
        """
        await self._do_to(CALL_USER_CALLABLE, key)

    async def _do_to(self, route: Route, key: str, **more: int) -> None:
        self._require(route)
        await self._tell(route, {"job_status_key": key, **more})

    async def _popup(self, route: Route, content: Mapping[str, object]) -> Popup:
        return (await self._ask_by_post(PopupAnswer, route, content)).job_status


def _content(
    fields: Mapping[str, object], hashes: Sequence[str], files_label: str
) -> dict[str, object]:
    content = {name: value for name, value in fields.items() if value is not UNCHANGED}
    for name in ("popup_gauge_1", "popup_gauge_2"):
        gauge = content.get(name)
        if gauge is not None:
            assert isinstance(gauge, Sequence)
            if len(gauge) != 2:
                raise RequestRejected(f"{name} is how much is done, and of how much")
            content[name] = [_whole(name, number) for number in gauge]
    if hashes:
        if not files_label:
            raise RequestRejected("files of a popup need a label for their button")
        content |= {"hashes": checked_hashes(hashes), "files_label": files_label}
    return content


def _whole(name: str, number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise RequestRejected(f"{name} is in whole numbers: {number!r}")
    return number
