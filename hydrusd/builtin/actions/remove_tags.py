"""Removes tags from the files that the job is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from pydantic import ConfigDict, Field

from hydrusd.builtin.actions._tagging import How, Tags, TagStep, is_local
from hydrusd.plugin import Service, TagAction


class RemoveTags(TagStep):
    """Remove tags from the file, in any number of tag services.

    Each key is a tag service, by the name it has in Hydrus or by its key; its value is a tag
    or a list of tags. In a tag repository, one that is only pending is taken back, and one
    that is there is petitioned: its janitors decide, and read the `reason`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Tags] = Field(init=False)

    action: ClassVar[str] = "remove_tags"

    reason: str = Field(default="", description="why, for the janitors of a tag repository")
    keep_off: bool = Field(
        default=False,
        description=(
            "where a file does not have a tag, note it as deleted all the same, so that no "
            "rule or downloader adds it later"
        ),
    )

    @property
    def services(self) -> Iterable[str]:
        """The tag services, as written."""
        return self.__pydantic_extra__ or {}

    @property
    def how(self) -> How:
        """The reason, and whether tags are kept off files that lack them."""
        return How(keep_off=self.keep_off, reason=self.reason)

    def asked(self, name: str, service: Service) -> Iterable[tuple[TagAction, Sequence[str]]]:
        """Delete at home; elsewhere take back what is pending, petition what is there."""
        tags = (self.__pydantic_extra__ or {})[name]
        if is_local(service):
            return [(TagAction.DELETE, tags)]
        return [(TagAction.RESCIND_PEND, tags), (TagAction.PETITION, tags)]
