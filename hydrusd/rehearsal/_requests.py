"""Speaks to a simulated client as a user's other programs would.

Past hydrusd's own client, whose mistakes would otherwise be made twice.
"""

from __future__ import annotations

import urllib.request


def request(
    url: str,
    access_key: str,
    path: str,
    body: bytes | None = None,
    kind: str = "application/octet-stream",
) -> bytes:
    """Send a POST with a body, or a GET without one; give the answer's body.

    Raises HTTPError where the client refuses it.
    """
    headers = {"Hydrus-Client-API-Access-Key": access_key}
    if body is not None:
        headers["Content-Type"] = kind
    sent = urllib.request.Request(url + path, body, headers)  # noqa: S310 - our own
    with urllib.request.urlopen(sent, timeout=30) as answer:  # noqa: S310 - see above
        return bytes(answer.read())
