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

It shows the smallest useful action: a class whose fields are its parameters, and one
`run` for one item. It looks at nothing but the call, so it can be repeated without harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from hydrusd.plugin import Action, AnyAction, Call, Outcome, Permission, hookimpl


class AddFolderTags(Action):
    """Add a tag for each folder between the watched one and the file."""

    action: ClassVar[str] = "add_folder_tags"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TAGS})

    service: str = Field(default="my tags", description="the tag service, by name or key")
    namespace: str = Field(default="folder", description="what stands before the colon")

    async def run(self, call: Call[Action]) -> Outcome:
        """Tag the file that an earlier step imported."""
        if call.source is None or call.file_hash is None:
            return Outcome.dead("there is no imported file: put add_file before add_folder_tags")
        folders = call.source.path.relative_to(call.source.root).parent.parts
        tags = [f"{self.namespace}:{folder}" for folder in folders]
        if tags:
            await call.client.add_tags([call.file_hash], {self.service: tags})
        return Outcome.done(", ".join(tags) or "it lies in the watched folder itself")


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(AddFolderTags)
