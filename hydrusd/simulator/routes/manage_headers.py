"""Headers that the client sends along, everywhere or to one domain."""

from __future__ import annotations

from typing import Any

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._network import APPROVALS, DEFAULT_USER_AGENT
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator.routes.manage_cookies import MANAGE_NETWORK, require_domain

_EVERYWHERE = 0
_DOMAIN = 2


def _asked_domain(call: Call) -> str:
    return require_domain(call.arguments.text("domain")) if "domain" in call.arguments else ""


async def _get_headers(call: Call) -> Answer:
    domain = _asked_domain(call)
    context: dict[str, Any] = {"type": _DOMAIN, "data": domain}
    if not domain:
        context = {"type": _EVERYWHERE, "data": None}
    headers = {
        name: {"value": header.value, "approved": header.approved, "reason": header.reason}
        for name, header in call.client.network.headers(domain).items()
    }
    return call.json({"network_context": context, "headers": headers})


async def _set_headers(call: Call) -> Answer:
    domain = _asked_domain(call)
    for name, wanted in call.arguments.members("headers").items():
        # A text stands for an object without any of the members, as it does in the real client.
        _set_header(call, domain, name, wanted if isinstance(wanted, dict) else {})
    return EMPTY


def _set_header(call: Call, domain: str, name: str, wanted: dict[str, Any]) -> None:
    network = call.client.network
    there = network.headers(domain).get(name)
    approved, reason = wanted.get("approved"), wanted.get("reason")
    if "approved" in wanted and approved not in APPROVALS:
        raise bad_request(f'The value "{approved}" was not in the permitted list!')
    if "reason" in wanted and not isinstance(reason, str):
        raise bad_request(f'The reason "{reason}" was not a string!')
    if "value" not in wanted:
        if approved is None and reason is None:
            raise bad_request("Sorry, you have to set a value, approved, or reason parameter!")
        if there is None:
            raise bad_request(
                f'Sorry, you tried to set approved/reason on "{name}" for '
                f'"{domain or "global"}", but that entry does not exist, so there is no value to '
                "set them to! Please give a value!"
            )
        network.set_header(domain, name, None, approved, reason)
        return
    value = wanted["value"]
    if value is None:
        network.delete_header(domain, name)
    elif not isinstance(value, str):
        raise bad_request(f'The value "{value}" was not a string!')
    elif there is None or there.value != value:  # with the same value, the rest is passed over too
        network.set_header(domain, name, value, approved, reason)


async def _set_user_agent(call: Call) -> Answer:
    value = call.arguments.text("user-agent") or DEFAULT_USER_AGENT
    call.client.network.set_header("", "User-Agent", value, None, None)
    return EMPTY


ROUTES = (
    Route(
        method="GET",
        path="/manage_headers/get_headers",
        permissions=MANAGE_NETWORK,
        handler=_get_headers,
        since=43,
    ),
    Route(
        method="POST",
        path="/manage_headers/set_headers",
        permissions=MANAGE_NETWORK,
        handler=_set_headers,
        since=43,
    ),
    Route(
        method="POST",
        path="/manage_headers/set_user_agent",
        permissions=MANAGE_NETWORK,
        handler=_set_user_agent,
        since=17,
    ),
)
