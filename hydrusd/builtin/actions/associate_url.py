"""Notes on files which URLs they come from.

A client keeps URLs in a normal form of its own, and only it knows that form. So it is asked
first, and the normal form is what is compared, sent and claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from hydrusd.builtin.actions._changing import as_list
from hydrusd.builtin.actions._editing import FileEdit, Wish
from hydrusd.builtin.actions._taking_back import Change, count_of
from hydrusd.builtin.actions._url_pace import is_url
from hydrusd.plugin import (
    OR_ONE,
    AnyAction,
    Call,
    FileMetadata,
    Foreseen,
    HydrusClient,
    PermanentError,
    Permission,
    RequestRejected,
    SetAction,
)

AS_WRITTEN_SINCE_API = 64

Urls = Annotated[tuple[str, ...], BeforeValidator(as_list), OR_ONE]


@dataclass(frozen=True, slots=True)
class UrlChange(Change):
    """URLs that files lack, and URLs that they are to lose."""

    add: tuple[str, ...]
    delete: tuple[str, ...]
    normalise: bool

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Send both in one request."""
        await client.associate_url(
            hashes,
            urls_to_add=self.add,
            urls_to_delete=self.delete,
            normalise_urls=self.normalise,
        )

    def words(self, answer: object = None) -> str:
        """Count them."""
        del answer
        counts = ((len(self.add), "added"), (len(self.delete), "taken away"))
        return ", ".join(f"{count_of(number, 'URL')} {what}" for number, what in counts if number)

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Give the URLs by what was done."""
        del state, answer
        both = {"added": list(self.add), "deleted": list(self.delete)}
        return {kind: urls for kind, urls in both.items() if urls}


@dataclass(frozen=True, slots=True)
class UrlWish(Wish):
    """The URLs that files are to have, and those that they are not to have in any form."""

    nothing: ClassVar[str] = "the URLs are so already"

    add: tuple[str, ...]
    delete: tuple[str, ...]
    normalise: bool

    def change(self, file_hash: str, state: FileMetadata | None) -> UrlChange | None:
        """Leave out what is there, and what is not."""
        del file_hash
        add, delete = self.add, self.delete
        if state is not None:
            add = tuple(url for url in add if url not in state.urls)
            delete = tuple(url for url in delete if url in state.urls)
        return UrlChange(add, delete, self.normalise) if add or delete else None

    def diff(self, state: FileMetadata) -> Sequence[str]:
        """Show each URL."""
        added = [f"{'=' if url in state.urls else '+'} {url}" for url in self.add]
        return added + [f"- {url}" for url in self.delete if url in state.urls]


class AssociateUrl(FileEdit):
    """Note on the file that it comes from a URL, or take such a note away.

    Nothing is downloaded. Hydrus then knows the file by that URL: it shows it, searches by
    it, and does not download it again.
    """

    action: ClassVar[str] = "associate_url"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_URLS})
    verb: ClassVar[str] = "note a URL on"

    add: Urls = Field(default=(), description="a URL, or a list of them, to add")
    delete: Urls = Field(default=(), description="a URL, or a list of them, to take away")
    normalise: bool = Field(
        default=True, description="`false` adds them as they are written (Client API ≥ 64)"
    )

    _normal: dict[str, str] = PrivateAttr(default_factory=dict)
    _refusal: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.add and not self.delete:
            raise ValueError("give URLs to `add` or to `delete`")
        if both := set(self.add) & set(self.delete):
            raise ValueError(f"{min(both)} is to be added and to be taken away")
        return self

    @property
    def needs_api(self) -> int:
        """Leaving URLs as they are written is newer."""
        return self.since_api if self.normalise else AS_WRITTEN_SINCE_API

    def wish(self, client: HydrusClient) -> UrlWish:
        """Give the URLs in the forms that the client keeps."""
        del client
        if self._refusal:
            raise PermanentError(self._refusal)
        add = (self._normal[url] if self.normalise else url for url in self.add)
        delete = (form for url in self.delete for form in (url, self._normal[url]))
        return UrlWish(_each_once(add), _each_once(delete), self.normalise)

    async def learn(self, client: HydrusClient, normal: dict[str, str]) -> None:
        """Ask for the normal forms of the URLs, but for those that are in ``normal`` already."""
        self._refusal = ""
        for url in (*self.add, *self.delete):
            if not is_url(url):
                self._refusal = f"{url!r} is no URL: it needs a scheme and a host, as in https://…"
                return
            if url not in normal:
                try:
                    normal[url] = (await client.get_url_info(url)).normalised_url
                except RequestRejected as error:
                    self._refusal = str(error)
                    return
        self._normal = normal

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[UrlChange | None, Sequence[str]]:
        """Take away what was added, and add what was taken away, where that is still so."""
        del file_hash
        added, deleted = taken.get("added", ()), taken.get("deleted", ())
        alone = [f"{url} is no longer there" for url in added if url not in state.urls]
        alone += [f"{url} is there again" for url in deleted if url in state.urls]
        add = tuple(url for url in deleted if url not in state.urls)
        delete = tuple(url for url in added if url in state.urls)
        normalise = client.info.api_version < AS_WRITTEN_SINCE_API
        return (UrlChange(add, delete, normalise) if add or delete else None), alone

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Send what each file lacks, with one request for all that lack the same."""
        await _learn(calls)
        await super().run_set(calls)

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose files are not (any more) as this step left them."""
        await _learn(calls)
        return await super().lost(calls)

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what the files that are known by now lack."""
        await _learn(calls)
        return await super().plan(calls)


async def _learn(calls: Sequence[Call[SetAction]] | Sequence[Call[AnyAction]]) -> None:
    client, normal = calls[0].client, dict[str, str]()
    for action in {id(call.action): call.action for call in calls}.values():
        assert isinstance(action, AssociateUrl)
        await action.learn(client, normal)


def _each_once(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urls))
