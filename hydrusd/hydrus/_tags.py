"""Tags: writing them, completing them, and cleaning them as Hydrus does.

Cleaned here, two texts can be compared without asking, and nothing is sent that the client
would drop in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum

from hydrusd.errors import RequestRejected

from ._calls import FileReference, Route, checked_hashes, in_requests
from ._http import to_json
from ._models import (
    CleanTagsAnswer,
    FavouriteTagsAnswer,
    SearchTagsAnswer,
    ServiceType,
    TagCount,
    TagRelations,
    TagRelationsAnswer,
)
from ._permissions import Permission
from ._services import FILES, KEYS_SINCE_API, SEARCHED_TAGS, ServiceRoutes

ADD_TAGS = Route("POST", "/add_tags/add_tags", Permission.EDIT_TAGS)
CLEAN_TAGS = Route("GET", "/add_tags/clean_tags", Permission.EDIT_TAGS)
SEARCH_TAGS = Route("GET", "/add_tags/search_tags", Permission.SEARCH_FILES, since_api=26)
GET_SIBLINGS_AND_PARENTS = Route(
    "GET", "/add_tags/get_siblings_and_parents", Permission.EDIT_TAGS, since_api=51
)
GET_FAVOURITE_TAGS = Route(
    "GET", "/add_tags/get_favourite_tags", Permission.EDIT_TAGS, since_api=80
)
SET_FAVOURITE_TAGS = Route(
    "POST", "/add_tags/set_favourite_tags", Permission.EDIT_TAGS, since_api=80
)

_REASONS_SINCE_API = 21
_DISPLAY_TYPE_SINCE_API = 33
_DOMAIN_SINCE_API = 41
_READD_FLAG_SINCE_API = 65
_NO_MORE_REWRITING_SINCE_API = 15


class TagAction(IntEnum):
    """What can be done with a tag on a file. The values are the protocol's.

    The first two are for local tag services, the others for repositories.
    """

    ADD = 0
    DELETE = 1
    PEND = 2
    RESCIND_PEND = 3
    PETITION = 4
    RESCIND_PETITION = 5


_LOCAL_ACTIONS = frozenset({TagAction.ADD, TagAction.DELETE})

# A tag, or with a reason for a petition that its janitors will read.
TagChange = str | tuple[str, str]


class TagRoutes(ServiceRoutes):
    """Routes about tags; all but ``search_tags`` need "edit file tags"."""

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

    async def change_tags(
        self,
        files: Sequence[FileReference],
        changes: Mapping[str, Mapping[TagAction, Sequence[TagChange]]],
        *,
        readd_deleted: bool = False,
        record_absent_as_deleted: bool = True,
    ) -> None:
        """Do anything with tags of many files: service, by name or key → action → tags.

        Each entry is a tag, cleaned as Hydrus does and left out if nothing remains, or for
        PETITION (API ≥ 21) a pair of tag and reason. Local services take ADD and DELETE,
        repositories the others, which change nothing there before a commit; what a service
        does not take is refused.

        ADD and PEND put back what the user removed only if ``readd_deleted``; clients before
        API 65 always do (``can_spare_deleted_tags``). DELETE and PETITION keep a record of
        the deletion for files that never had the tag too, which keeps it off them later,
        unless ``record_absent_as_deleted`` is False (API ≥ 65).

        ``files`` are hashes, which the client need not have, or ids; 256 go into a request,
        so a failure may leave some done: safe to repeat.
        """
        self._require(ADD_TAGS)
        content: dict[str, object] = {}
        if not record_absent_as_deleted:
            self._require_api(_READD_FLAG_SINCE_API, "deleting tags only where they are")
        if self.can_spare_deleted_tags:
            content["override_previously_deleted_mappings"] = readd_deleted
            content["create_new_deleted_mappings"] = record_absent_as_deleted
        if self.info.api_version < _NO_MORE_REWRITING_SINCE_API:
            content["add_siblings_and_parents"] = False
        wanted: dict[str, dict[str, list[str | list[str]]]] = {}
        for name_or_key, actions in changes.items():
            service = self.tag_service(name_or_key)
            for action, entries in actions.items():
                if (action in _LOCAL_ACTIONS) != (service.type == ServiceType.LOCAL_TAG_DOMAIN):
                    kind = "a local tag service" if action in _LOCAL_ACTIONS else "a repository"
                    raise RequestRejected(f"{action.name} needs {kind}: {service.name!r} is none")
                if listed := self._changed(action, entries):
                    there = wanted.setdefault(service.reference, {})
                    there.setdefault(str(action.value), []).extend(listed)
        if not wanted:
            return
        services = "keys" if self.info.api_version >= KEYS_SINCE_API else "names"
        content[f"service_{services}_to_actions_to_tags"] = wanted
        await self._tell_of(ADD_TAGS, files, content)

    def _changed(self, action: TagAction, entries: Sequence[TagChange]) -> list[str | list[str]]:
        listed: dict[str, str | list[str]] = {}
        for entry in entries:
            text, reason = (entry, None) if isinstance(entry, str) else entry
            to_json([text, reason])
            if reason is not None:
                if action is not TagAction.PETITION:
                    raise RequestRejected(f"a reason goes with PETITION, and not {action.name}")
                self._require_api(_REASONS_SINCE_API, "a reason for a petition")
            if cleaned := clean_tag(text):
                sent = _to_send(text, cleaned)
                listed[cleaned] = sent if reason is None else [sent, reason]
        return list(listed.values())

    async def search_tags(
        self,
        text: str,
        *,
        tag_service: str | None = None,
        domain: str | None = None,
        display: bool = False,
    ) -> list[TagCount]:
        """Give the tags that begin with a text, as the client would complete it, common ones first.

        A ``*`` stands for anything. Counted is in all tag services or in ``tag_service``, over
        all local files or those in ``domain`` (API ≥ 41), as stored or, with ``display`` (API
        ≥ 33), as shown after siblings and parents.

        Needs Client API ≥ 26 and "search for and fetch files".
        """
        self._require(SEARCH_TAGS)
        params: dict[str, object] = {"search": text}
        if tag_service is not None:
            params["tag_service_key"] = self._service(tag_service, SEARCHED_TAGS).reference
        if domain is not None:
            self._require_api(_DOMAIN_SINCE_API, "completing tags in one file domain")
            params["file_service_key"] = self._service(domain, FILES).reference
        if display:
            self._require_api(_DISPLAY_TYPE_SINCE_API, "completing tags as they are shown")
            params["tag_display_type"] = "display"
        answer = await self._ask(SearchTagsAnswer, SEARCH_TAGS, params=params)
        return [TagCount(found.value, found.count) for found in answer.tags]

    async def get_siblings_and_parents(
        self, tags: Sequence[str]
    ) -> dict[str, dict[str, TagRelations]]:
        """Give what tags are to others: tag, cleaned → service by key → its relations.

        Sent 256 a request; raises RequestRejected for a tag of which cleaning leaves nothing.
        Needs Client API ≥ 51.
        """
        self._require(GET_SIBLINGS_AND_PARENTS)
        for tag in tags:
            if not clean_tag(tag):
                raise RequestRejected(f"this is no tag: {tag[:80]!r}")
        found: dict[str, dict[str, TagRelations]] = {}
        for some in in_requests(list(dict.fromkeys(tags))):
            answer = await self._ask(
                TagRelationsAnswer, GET_SIBLINGS_AND_PARENTS, params={"tags": list(some)}
            )
            for tag, services in answer.tags.items():
                found[tag] = {
                    key: TagRelations(
                        entry.ideal_tag, entry.siblings, entry.descendants, entry.ancestors
                    )
                    for key, entry in services.items()
                }
        return found

    async def get_favourite_tags(self) -> list[str]:
        """Give the tags that the client offers before anything is typed. Needs API ≥ 80."""
        self._require(GET_FAVOURITE_TAGS)
        return (await self._ask(FavouriteTagsAnswer, GET_FAVOURITE_TAGS)).favourite_tags

    async def set_favourite_tags(
        self,
        to: Sequence[str] | None = None,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
    ) -> list[str]:
        """Change the favourite tags, and give them as they are then.

        Either ``to`` replaces them all, or ``add`` and ``remove`` change some. Safe to repeat.
        Needs Client API ≥ 80.
        """
        self._require(SET_FAVOURITE_TAGS)
        if to is not None:
            if add or remove:
                raise RequestRejected("all favourite tags, or some to add and remove: not both")
            content = {"set": list(to)}
        else:
            content = {"add": list(add), "remove": list(remove)}
        answer = await self._ask_by_post(FavouriteTagsAnswer, SET_FAVOURITE_TAGS, content)
        return answer.favourite_tags

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
