"""Messages to the user, and what the user is told by them."""

from __future__ import annotations

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import wrong_item, wrong_type
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._popups import Popup
from hydrusd.simulator._routing import Call, Handler, Route

MANAGE_POPUPS = frozenset({10})

_SHOWN: dict[str, type] = {
    "status_title": str,
    "status_text_1": str,
    "status_text_2": str,
    "api_data": dict,
    "popup_gauge_1": list,
    "popup_gauge_2": list,
}


async def _get_popups(call: Call) -> Answer:
    only_in_view = call.arguments.flag("only_in_view", default=False)
    return call.json({"job_statuses": call.client.popups.bodies(only_in_view=only_in_view)})


async def _add_popup(call: Call) -> Answer:
    arguments = call.arguments
    popup = Popup(
        pausable=arguments.flag("is_pausable", default=False),
        cancellable=arguments.flag("is_cancellable", default=False),
        mergable=arguments.flag("attached_files_mergable", default=False),
    )
    _change(call, popup)
    call.client.popups.add(popup)
    return call.json({"job_status": popup.to_json()})


async def _update_popup(call: Call) -> Answer:
    popups = call.client.popups
    with popups.lock:
        popup = _asked(call)
        _change(call, popup)
        return call.json({"job_status": popup.to_json()})


async def _finish_popup(call: Call) -> Answer:
    with call.client.popups.lock:
        _asked(call).finish()
    return EMPTY


async def _finish_and_dismiss_popup(call: Call) -> Answer:
    popups, arguments = call.client.popups, call.arguments
    with popups.lock:
        popup = _asked(call)
        popups.dismiss(popup, arguments.number("seconds") if "seconds" in arguments else None)
    return EMPTY


async def _dismiss_popup(call: Call) -> Answer:
    popups = call.client.popups
    with popups.lock:
        popup = _asked(call)
        if popup.done:
            popups.dismiss(popup)
    return EMPTY


async def _cancel_popup(call: Call) -> Answer:
    with call.client.popups.lock:
        popup = _asked(call)
        if popup.cancellable:
            popup.cancelled = True
            popup.finish()
    return EMPTY


async def _call_user_callable(call: Call) -> Answer:
    _asked(call)
    # Only the client's own messages carry one, and it has none here.
    raise bad_request("This job doesn't have a user callable!")


def _asked(call: Call) -> Popup:
    return call.client.popups.get(call.arguments.text("job_status_key"))


def _change(call: Call, popup: Popup) -> None:
    """Set what was given and clear what was given as null, up to the first bad value."""
    arguments = call.arguments
    for name, expected in _SHOWN.items():
        if not arguments.sent(name):
            continue
        value = arguments.value(name)
        if value is None:
            popup.shown.pop(name, None)
            continue
        if not isinstance(value, expected):
            raise wrong_type(name, value, expected)
        if isinstance(value, list):
            _check_gauge(name, value)
        popup.shown[name] = value
    label = arguments.text("files_label") if "files_label" in arguments else None
    if any(name in arguments for name in ("hash", "hashes", "file_id", "file_ids")) and (
        hashes := call.hashes(optional=True)
    ):
        if label is None:
            raise bad_request('"files_label" is required to add files to a popup!')
        popup.attach(hashes, label)


def _check_gauge(name: str, values: list[object]) -> None:
    for value in values:
        if not isinstance(value, int):
            raise wrong_item(f'The list parameter "{name}" held an item', value, int)
    if len(values) != 2:
        raise bad_request(f'The parameter "{name}" had an invalid number of items!')


def _route(method: str, name: str, handler: Handler) -> Route:
    return Route(
        method=method,
        path=f"/manage_popups/{name}",
        permissions=MANAGE_POPUPS,
        handler=handler,
        since=57,
    )


ROUTES = (
    _route("GET", "get_popups", _get_popups),
    _route("POST", "add_popup", _add_popup),
    _route("POST", "update_popup", _update_popup),
    _route("POST", "finish_popup", _finish_popup),
    _route("POST", "finish_and_dismiss_popup", _finish_and_dismiss_popup),
    _route("POST", "dismiss_popup", _dismiss_popup),
    _route("POST", "cancel_popup", _cancel_popup),
    _route("POST", "call_user_callable", _call_user_callable),
)
