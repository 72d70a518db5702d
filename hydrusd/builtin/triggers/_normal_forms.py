"""The forms in which the client knows URLs, each asked for once and kept.

Only the client can say that two URLs are the same page, at one request a URL. A list of
100,000 lines would mean as many requests at every start of the daemon, so what the client
said is remembered, where it was anything but the URL itself. It is kept packed: nobody
reads it but at a start, and URLs of one site have much in common.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping

from hydrusd.plugin import TriggerContext

PART = 1_000
"""How many pairs are kept under one name. The last part is written anew until it is full."""


class NormalForms:
    """Pairs of a URL in its plain form and the client's form of it."""

    def __init__(self, context: TriggerContext) -> None:
        self._context = context
        self._part = 0
        self._last: dict[str, str] = {}

    async def parts(self) -> Iterator[Mapping[str, str]]:
        """Give all that is remembered, part by part. To be called once, before ``add``."""
        packed: list[str] = []
        while (text := await self._context.recall(_name(len(packed)))) is not None:
            packed.append(str(text))
        self._part = max(0, len(packed) - 1)
        self._last = _unpacked(packed[-1]) if packed else {}
        return map(_unpacked, packed)

    def add(self, forms: Mapping[str, str]) -> Mapping[str, object]:
        """Add pairs; give what is to be remembered along with the events that they are about."""
        new = {p: form for p, form in forms.items() if p != form and len(form.split()) == 1}
        if not new:
            return {}
        if len(self._last) >= PART:
            self._part, self._last = self._part + 1, {}
        self._last |= new
        return {_name(self._part): _packed(self._last)}


def _name(part: int) -> str:
    return f"normal forms {part}"


# Neither form has white space in it: the one was read as a word, the other is checked.
def _packed(forms: Mapping[str, str]) -> str:
    text = "\n".join(f"{plain} {form}" for plain, form in forms.items())
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _unpacked(packed: str) -> dict[str, str]:
    text = zlib.decompress(base64.b64decode(packed)).decode()
    pairs = (line.partition(" ") for line in text.split("\n"))
    return {plain: form for plain, _, form in pairs}
