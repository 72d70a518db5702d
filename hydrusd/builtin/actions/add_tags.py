"""Tags the file that an earlier step imported, or that the event names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    HydrusClient,
    Outcome,
    Permission,
    PermissionMissing,
    RequestRejected,
    SetAction,
    TagStatus,
    VersionTooOld,
    clean_tag,
)

Standing = Mapping[str, Mapping[int, set[str]]]
"""Service → status → tags, of one file."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Tags = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class AddTags(SetAction):
    """Add tags to the file, in any number of tag services.

    Each key is a tag service, by the name it has in Hydrus or by its key; its value is a tag
    or a list of tags. Tags are cleaned as Hydrus does; what is empty then is left out. In a
    tag repository they are left pending.

    A tag that somebody deleted from the file stays deleted, unless `readd_deleted: true`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Tags] = Field(init=False)

    action: ClassVar[str] = "add_tags"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TAGS})

    readd_deleted: bool = Field(
        default=False, description="put back tags that were deleted from the file before"
    )

    @property
    def tags(self) -> Mapping[str, Sequence[str]]:
        """The tags by service, as written."""
        return self.__pydantic_extra__ or {}

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name the services that the client does not have, or has twice."""
        for service in self.tags:
            if "{{" in service or "{%" in service:
                continue  # which one it is, each file will tell
            try:
                client.tag_service(service)
            except RequestRejected as error:
                yield Fault(error.message, path=(service,))

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Add them with one request for all files that get the same tags."""
        client = calls[0].client
        wanted: dict[Call[SetAction], dict[str, list[str]]] = {}
        for call in calls:
            assert isinstance(call.action, AddTags)
            if call.file_hash is None:
                call.finish(Outcome.dead("there is no file to tag: put add_file before add_tags"))
            else:
                wanted[call] = call.action.cleaned(client)
        before = await _standing(client, [c.file_hash for c in wanted if c.file_hash])
        groups: dict[object, list[Call[SetAction]]] = {}
        new = {c: _new(c, tags, before) for c, tags in wanted.items()}
        for call, tags in new.items():
            assert isinstance(call.action, AddTags)
            if not any(tags.values()):
                call.finish(Outcome.done("all tags are there already", receipt={"added": {}}))
                continue
            alike = (call.action.readd_deleted, tuple((s, tuple(t)) for s, t in tags.items()))
            groups.setdefault(alike, []).append(call)
        for group in groups.values():
            first = group[0]
            assert isinstance(first.action, AddTags)
            await client.add_tags(
                [c.file_hash for c in group if c.file_hash],
                {service: tags for service, tags in new[first].items() if tags},
                readd_deleted=first.action.readd_deleted,
            )
            for call in group:
                added = {service: tags for service, tags in new[call].items() if tags}
                count = sum(map(len, added.values()))
                receipt = {"added": _merged(call, added)} if before is not None else None
                call.finish(
                    Outcome.done(f"{count} tag{'s' if count != 1 else ''}", receipt=receipt)
                )

    def cleaned(self, client: HydrusClient) -> dict[str, list[str]]:
        """Give the tags as Hydrus will keep them, by the service's reference."""
        services: dict[str, list[str]] = {}
        for name, texts in self.tags.items():
            tags = services.setdefault(client.tag_service(name).reference, [])
            tags += [t for t in dict.fromkeys(map(clean_tag, texts)) if t and t not in tags]
        return services

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those that lack a tag which this step gave them and nobody deleted since."""
        client = calls[0].client
        standing = await _standing(client, [c.file_hash for c in calls if c.file_hash])
        if standing is None:
            return calls
        lost = []
        for call in calls:
            assert isinstance(call.action, AddTags)
            if any(_new(call, call.action.cleaned(client), standing).values()):
                lost.append(call)
        return lost


async def _standing(client: HydrusClient, hashes: Sequence[str]) -> dict[str, Standing] | None:
    """Give the tags that the files have now; None where the key may not look."""
    if not client.can_search:
        return None
    try:
        return dict(await client.tags(hashes))
    except (PermissionMissing, VersionTooOld):
        return None


def _new(
    call: Call[SetAction] | Call[AnyAction],
    wanted: Mapping[str, Sequence[str]],
    standing: Mapping[str, Standing] | None,
) -> dict[str, list[str]]:
    """Leave out the tags that are there, and those deleted unless they are wanted back."""
    if standing is None:
        return {service: list(tags) for service, tags in wanted.items()}
    assert isinstance(call.action, AddTags)
    mine = standing.get(call.file_hash or "", {})
    new: dict[str, list[str]] = {}
    for service, tags in wanted.items():
        statuses = mine.get(service, {})
        passed = statuses.get(TagStatus.CURRENT, set()) | statuses.get(TagStatus.PENDING, set())
        if not call.action.readd_deleted:
            passed = passed | statuses.get(TagStatus.DELETED, set())
        new[service] = [tag for tag in tags if tag not in passed]
    return new


def _merged(call: Call[SetAction], added: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Keep what an earlier run of this step added: after a restart both are our doing."""
    merged = {service: list(tags) for service, tags in added.items()}
    earlier = call.earlier.receipt if call.earlier is not None else None
    before = earlier.get("added") if earlier is not None else None
    if isinstance(before, Mapping):
        for service, tags in before.items():
            mine = merged.setdefault(service, [])
            mine += [tag for tag in tags if tag not in mine]
    return merged
