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
item, and a `plan` that says what `run` would change. Adding a tag twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from pydantic import Field

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Foreseen,
    Outcome,
    Permission,
    clean_tag,
    hookimpl,
)


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
        """Tag the files that an earlier step imported."""
        if call.source is None or not call.file_hashes:
            return Outcome.dead("there is no imported file: put add_file before add_folder_tags")
        tags = self.tags(call)
        if tags:
            await call.client.add_tags(call.file_hashes, {self.service: tags})
        return Outcome.done(", ".join(tags) or "it lies in the watched folder itself")


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(AddFolderTags)
