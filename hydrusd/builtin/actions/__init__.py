"""The actions that come with hydrusd, registered like anyone's."""

from __future__ import annotations

from collections.abc import Callable

from hydrusd.builtin.actions.add_file import AddFile
from hydrusd.builtin.actions.add_tags import AddTags
from hydrusd.builtin.actions.delete_source import DeleteSource
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.plugin import AnyAction, hookimpl


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register them all."""
    for action in (AddFile, AddTags, MoveSource, TrashSource, DeleteSource):
        register(action)
