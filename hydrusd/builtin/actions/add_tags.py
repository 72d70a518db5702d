"""Adds tags to the files that the job is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from pydantic import ConfigDict, Field

from hydrusd.builtin.actions._tagging import How, Tags, TagStep, is_local
from hydrusd.plugin import Service, TagAction


class AddTags(TagStep):
    """Add tags to the file, in any number of tag services.

    Each key is a tag service, by the name it has in Hydrus or by its key; its value is a tag
    or a list of tags. Tags are cleaned as Hydrus does; what is empty then is left out. In a
    tag repository they are left pending.

    A tag that somebody deleted from the file stays deleted, unless `readd_deleted: true`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Tags] = Field(init=False)

    action: ClassVar[str] = "add_tags"

    readd_deleted: bool = Field(
        default=False, description="put back tags that were deleted from the file before"
    )

    @property
    def services(self) -> Iterable[str]:
        """The tag services, as written."""
        return self.__pydantic_extra__ or {}

    @property
    def how(self) -> How:
        """Whether deleted tags come back."""
        return How(readd_deleted=self.readd_deleted)

    def asked(self, name: str, service: Service) -> Iterable[tuple[TagAction, Sequence[str]]]:
        """Add at home, pend elsewhere."""
        action = TagAction.ADD if is_local(service) else TagAction.PEND
        return [(action, (self.__pydantic_extra__ or {})[name])]
