"""Tags: writing them, and cleaning them as Hydrus does so that two texts can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ._calls import Calls, Route, checked_hashes, in_requests
from ._http import to_json
from ._models import CleanTagsAnswer
from ._permissions import Permission
from ._services import KEYS_SINCE_API, ServiceRoutes

ADD_TAGS = Route("POST", "/add_tags/add_tags", Permission.EDIT_TAGS)
CLEAN_TAGS = Route("GET", "/add_tags/clean_tags", Permission.EDIT_TAGS)

_READD_FLAG_SINCE_API = 65
_NO_MORE_REWRITING_SINCE_API = 15


class TagRoutes(ServiceRoutes, Calls):
    """Routes about tags; all need "edit file tags"."""

    @property
    def can_spare_deleted_tags(self) -> bool:
        """Whether ``add_tags`` can leave out tags which the user removed (API ≥ 65)."""
        return self.info.api_version >= _READD_FLAG_SINCE_API

    async def add_tags(
        self,
        hashes: Sequence[str],
        tags: Mapping[str, Sequence[str]],
        *,
        readd_deleted: bool = False,
    ) -> None:
        """Put the same tags on many files: for each service, by name or key, a list of tags.

        Tags are cleaned as Hydrus does, and what is nothing then is left out. Local
        services get them at once, repositories as pending. ``hashes`` are SHA-256 in
        hexadecimal; the client need not have the files. 256 files go into a request, so a
        failure may leave some done: safe to repeat.

        A tag that the user removed from a file stays away unless ``readd_deleted``. Clients
        before API 65 cannot do that and put it back: see ``can_spare_deleted_tags``.

        Raises UnknownService or AmbiguousService before anything is sent, and
        RequestRejected for what is no hash, or no Unicode. Needs "edit file tags".
        """
        self._require(ADD_TAGS)
        api_version = self.info.api_version
        wanted: dict[str, dict[str, str]] = {}
        for name_or_key, texts in tags.items():
            to_json(texts)  # half a character is refused here, not lost in cleaning
            cleaned = {tag: _to_send(text, tag) for text in texts if (tag := clean_tag(text))}
            if cleaned:
                wanted.setdefault(self.tag_service(name_or_key).reference, {}).update(cleaned)
        if not wanted:
            return
        services = "keys" if api_version >= KEYS_SINCE_API else "names"
        content: dict[str, object] = {
            f"service_{services}_to_tags": {
                name: list(texts.values()) for name, texts in wanted.items()
            }
        }
        if self.can_spare_deleted_tags:
            content["override_previously_deleted_mappings"] = readd_deleted
        if api_version < _NO_MORE_REWRITING_SINCE_API:
            # Otherwise siblings would be written in place of the tags, for good.
            content["add_siblings_and_parents"] = False
        for some in in_requests(checked_hashes(hashes)):
            await self._tell(ADD_TAGS, {"hashes": some, **content})

    async def clean_tags(self, tags: Sequence[str]) -> list[str]:
        """Have the client clean tags: sorted and each once, so not in the order given.

        Needs "edit file tags". ``clean_tag`` does the same without asking.
        """
        self._require(CLEAN_TAGS)
        return (await self._ask(CleanTagsAnswer, CLEAN_TAGS, params={"tags": list(tags)})).tags


def _to_send(text: str, cleaned: str) -> str:
    # Clean already, so that old clients, which clean less, store the same. But of "- - a"
    # Hydrus takes one sign each time it cleans, and it will clean what it gets.
    return cleaned if clean_tag(cleaned) == cleaned else text


_LONGEST = 1024

# What Hydrus drops wherever it stands: control characters, marks of direction and width,
# private use, surrogates. The two zero-width joiners are letters to some scripts and stay.
_UNWANTED = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)
_JOINERS = re.compile("[\u200c\u200d]")
# Scripts in which a joiner means nothing.
_LATIN = re.compile("[\u0020-\u007e\u00a0-\u024f\u200c\u200d]+")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_HANGUL_FILLER = "\u3164"
_LEADING_SIGNS = re.compile("^(?:-|system:)+")


def clean_tag(tag: str) -> str:
    """Give the tag as Hydrus (v682) would store it; empty where it would store nothing.

    Lower case, at most 1024 characters of it, spaces collapsed and trimmed around the
    namespace too, without leading ``-`` and ``system:``; a smiley ``:)`` keeps its colon.
    """
    text = tag[:_LONGEST].lower()
    if text.startswith(":") and len(text) > 1 and ":" not in text[1:]:
        text = f":{text}"
    if ":" not in text:
        return _tidied(text)
    namespace, colon, subtag = _tidied(text).partition(":")
    if not colon:
        namespace, subtag = "", namespace
    namespace, subtag = _tidied(namespace), _tidied(subtag)
    if namespace:
        return f"{namespace}:{subtag}" if subtag else ""
    return f":{subtag}" if ":" in subtag else subtag


def _tidied(text: str) -> str:
    text = _one_spaced(_UNWANTED.sub("", text))
    text = _LEADING_SIGNS.sub("", text).strip()
    if not _HANGUL.search(text):
        text = text.replace(_HANGUL_FILLER, "")
    if _LATIN.fullmatch(text) or not _JOINERS.sub("", text):
        text = _JOINERS.sub("", text)
    return _one_spaced(text)


def _one_spaced(text: str) -> str:
    return " ".join(text.split())
