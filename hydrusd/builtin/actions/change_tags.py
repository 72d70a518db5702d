"""Does anything that Hydrus can do with the tags of the files that the job is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from hydrusd.builtin.actions._tagging import How, Tags, TagStep
from hydrusd.plugin import Service, TagAction

Name = Literal["add", "delete", "pend", "rescind_pend", "petition", "rescind_petition"]


class ChangeTags(TagStep):
    """Add, delete, pend and petition tags, or take that back, in any number of tag services.

    Each key is a tag service, by the name it has in Hydrus or by its key; its value says what
    to do with which tags. Local tag services take `add` and `delete`; tag repositories take
    `pend`, `rescind_pend`, `petition` and `rescind_petition`, which change nothing there
    before they are committed. `add_tags` and `remove_tags` are simpler and mostly enough.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, dict[Name, Tags]] = Field(init=False)

    action: ClassVar[str] = "change_tags"

    readd_deleted: bool = Field(
        default=False, description="put back tags that were deleted from the file before"
    )
    reason: str = Field(default="", description="why, for the janitors of a tag repository")
    keep_off: bool = Field(
        default=False,
        description=(
            "where a file does not have a tag that is to be deleted or petitioned, do it all "
            "the same, so that no rule or downloader adds it later"
        ),
    )

    @property
    def services(self) -> Iterable[str]:
        """The tag services, as written."""
        return self._changes

    @property
    def _changes(self) -> Mapping[str, Mapping[Name, Sequence[str]]]:
        return self.__pydantic_extra__ or {}

    @property
    def how(self) -> How:
        """What holds for all services."""
        return How(self.readd_deleted, self.keep_off, self.reason)

    def asked(self, name: str, service: Service) -> Iterable[tuple[TagAction, Sequence[str]]]:
        """Do what stands there."""
        del service
        return [(TagAction[word.upper()], tags) for word, tags in self._changes[name].items()]
