"""Tags files with the names of the folders that they lie in.

A file `~/Pictures/inbox/2024/Iceland/a.jpg`, noticed by a rule that watches
`~/Pictures/inbox`, gets `folder:2024` and `folder:iceland`:

    rules:
      - name: import albums
        on:
          watch_folder: {path: ~/Pictures/inbox}
        do:
          - add_file:
          - add_folder_tags: {service: my tags}

It shows a small useful action: a class whose fields are its parameters, one `run` for one
item, and a `plan` that says what `run` would change. Adding a tag twice does no harm. What was
new it tells in its receipt, and by that alone `hydrusd undo` takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from pydantic import Field

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Foreseen,
    HydrusClient,
    Outcome,
    Permission,
    TagAction,
    TagStatus,
    Undo,
    clean_tag,
    hookimpl,
    keep_receipts,
)

Added = dict[str, dict[str, list[str]]]
"""File by hash → service by key → tags."""


class AddFolderTags(Action):
    """Add a tag for each folder between the watched one and the file."""

    action: ClassVar[str] = "add_folder_tags"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TAGS})

    service: str = Field(default="my tags", description="the tag service, by name or key")
    namespace: str = Field(default="folder", description="what stands before the colon")

    def tags(self, call: Call[Action] | Call[AnyAction]) -> list[str]:
        """Give the tags for a file, by where it lies."""
        if call.source is None:
            return []
        folders = call.source.path.relative_to(call.source.root).parent.parts
        return [f"{self.namespace}:{folder}" for folder in folders]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which tags would be new, as far as the key may look."""
        client = calls[0].client
        standing: dict[str, dict[str, dict[int, set[str]]]] = {}
        if client.can_look_up_files:
            known = await client.known_hashes([h for call in calls for h in call.file_hashes])
            standing = await client.tags(sorted(known))
        plans = []
        for call in calls:
            action = call.action
            assert isinstance(action, AddFolderTags)
            service = client.tag_service(action.service).reference
            files = [standing.get(h, {}).get(service, {}) for h in call.file_hashes]
            wanted = [clean_tag(tag) for tag in action.tags(call)]
            new = [t for t in wanted if not all(t in set().union(*f.values()) for f in files)]
            detail = f"would add {', '.join(new)}" if new else "no tag is new"
            plans.append(Foreseen(detail, changes=bool(new)))
        return plans

    async def run(self, call: Call[Action]) -> Outcome:
        """Tag the files that an earlier step imported, and tell which tags were new."""
        if call.source is None or not call.file_hashes:
            return Outcome.dead("there is no imported file: put add_file before add_folder_tags")
        tags = self.tags(call)
        new = await self._new(call.client, call.file_hashes, tags)
        if new is not None:
            # Kept before anything is sent: a daemon that dies now still knows them for its own.
            new = _joined(call, new)
            await keep_receipts({call: {"added": new}})
        if tags:
            await call.client.add_tags(call.file_hashes, {self.service: tags})
        detail = ", ".join(tags) or "it lies in the watched folder itself"
        return Outcome.done(detail, receipt=None if new is None else {"added": new})

    async def _new(
        self, client: HydrusClient, hashes: Sequence[str], tags: Sequence[str]
    ) -> Added | None:
        """Give the tags that each file does not have; None where the key may not look."""
        if not client.can_look_up_files:
            return None
        service = client.tag_service(self.service).reference
        standing = await client.tags(hashes)
        wanted = list(dict.fromkeys(tag for tag in map(clean_tag, tags) if tag))
        new: Added = {}
        for file_hash in hashes:
            statuses = standing[file_hash].get(service, {})
            there = statuses.get(TagStatus.CURRENT, set())
            if client.can_spare_deleted_tags:  # what somebody took off stays off
                there = there | statuses.get(TagStatus.DELETED, set())
            if lacking := [tag for tag in wanted if tag not in there]:
                new[file_hash] = {service: lacking}
        return new

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which tags are still there to be taken off, or off to be put back."""
        foreseen = []
        for call in calls:
            kind, files = await _to_take_back(call)
            tags = sorted({tag for of in files.values() for some in of.values() for tag in some})
            words = f"{', '.join(tags)} {kind}" if tags else "nothing: they have changed since"
            foreseen.append(Foreseen(words, changes=bool(tags)))
        return foreseen

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Take off the tags that were new, or put back those that an undo has taken off."""
        for call in calls:
            kind, files = await _to_take_back(call)
            files = _joined(call, files, kind)
            await keep_receipts({call: {kind: files}})
            action = TagAction.DELETE if kind == "deleted" else TagAction.ADD
            for file_hash, services in files.items():
                changes = {service: {action: tags} for service, tags in services.items()}
                await call.client.change_tags([file_hash], changes, readd_deleted=True)
            call.finish(Outcome.done(f"tags {kind}", receipt={kind: files}))


def _joined(call: Call[Any], new: Added, kind: str = "added") -> Added:
    """Add what a try before this one has kept: that was this step's doing, too."""
    earlier = (call.earlier.receipt if call.earlier is not None else None) or {}
    return {**new, **cast("Added", earlier.get(kind) or {})}


async def _to_take_back(call: Call[Undo]) -> tuple[str, Added]:
    """Give how the tags are taken back, and of each file those that are still as they were left."""
    [(done, files)] = call.action.receipt.items()
    standing = await call.client.tags(list(files))
    found: Added = {}
    for file_hash, services in files.items():
        for service, tags in services.items():
            there = standing[file_hash].get(service, {}).get(TagStatus.CURRENT, set())
            still = [tag for tag in tags if (tag in there) == (done == "added")]
            if still:
                found.setdefault(file_hash, {})[service] = still
    return "deleted" if done == "added" else "added", found


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(AddFolderTags)
