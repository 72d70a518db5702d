"""Cookies, row by row: what came before a bad row has been done already."""

from __future__ import annotations

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._errors import Unforeseen, bad_request
from hydrusd.simulator._routing import Call, Route

MANAGE_NETWORK = frozenset({5})


def require_domain(text: str) -> str:
    """Give a domain, or refuse what has no dot."""
    if "." not in text:
        raise bad_request(f'The value "{text}" does not seem to be a domain!')
    return text


async def _get_cookies(call: Call) -> Answer:
    domain = require_domain(call.arguments.text("domain"))
    return call.json({"cookies": call.client.network.cookies(domain)})


async def _set_cookies(call: Call) -> Answer:
    network = call.client.network
    for row in call.arguments.items("cookies"):
        if not isinstance(row, list | str):
            what = f"object of type '{type(row).__name__}' has no len()"
            raise Unforeseen("TypeError", f"builtins.TypeError: {what}")
        if len(row) != 5:
            raise bad_request(
                f'The cookie "{row}" did not come in the format '
                "[ name, value, domain, path, expires ]!"
            )
        name, value, domain, path, expires = list(row)
        if (
            not all(isinstance(text, str) for text in (name, domain, path))
            or not isinstance(value, str | None)
            or not isinstance(expires, int | None)
        ):
            raise bad_request(
                "In the row [ name, value, domain, path, expires ], which I received as "
                f'"{row}", name, domain, and path need to be strings, value needs to be null or '
                "a string, and expires needs to be null or an integer!"
            )
        if value is None:
            network.clear_cookie(name, domain, path)
        else:
            network.set_cookie((name, value, domain, path, expires))
    return EMPTY


ROUTES = (
    Route(
        method="GET",
        path="/manage_cookies/get_cookies",
        permissions=MANAGE_NETWORK,
        handler=_get_cookies,
        since=10,
    ),
    Route(
        method="POST",
        path="/manage_cookies/set_cookies",
        permissions=MANAGE_NETWORK,
        handler=_set_cookies,
        since=10,
    ),
)
