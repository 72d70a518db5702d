"""The actions that come with hydrusd, registered like anyone's."""

from __future__ import annotations

from collections.abc import Callable

from hydrusd.builtin.actions.add_file import AddFile
from hydrusd.builtin.actions.add_tags import AddTags
from hydrusd.builtin.actions.add_to_page import AddToPage
from hydrusd.builtin.actions.add_url import AddUrl
from hydrusd.builtin.actions.add_viewing_time import AddViewingTime
from hydrusd.builtin.actions.apply_sidecar import ApplySidecar
from hydrusd.builtin.actions.archive_file import ArchiveFile
from hydrusd.builtin.actions.associate_url import AssociateUrl
from hydrusd.builtin.actions.change_tags import ChangeTags
from hydrusd.builtin.actions.clear_deletion_record import ClearDeletionRecord
from hydrusd.builtin.actions.commit_pending import CommitPending
from hydrusd.builtin.actions.copy_source import CopySource
from hydrusd.builtin.actions.delete_file import DeleteFile
from hydrusd.builtin.actions.delete_notes import DeleteNotes
from hydrusd.builtin.actions.delete_source import DeleteSource
from hydrusd.builtin.actions.export_file import ExportFile
from hydrusd.builtin.actions.fire import Fire
from hydrusd.builtin.actions.focus_page import FocusPage
from hydrusd.builtin.actions.forget_pending import ForgetPending
from hydrusd.builtin.actions.http_request import HttpRequest
from hydrusd.builtin.actions.log import Log
from hydrusd.builtin.actions.migrate_file import MigrateFile
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.builtin.actions.new_page import NewPage
from hydrusd.builtin.actions.notify import Notify
from hydrusd.builtin.actions.refresh_page import RefreshPage
from hydrusd.builtin.actions.remove_potentials import RemovePotentials
from hydrusd.builtin.actions.remove_tags import RemoveTags
from hydrusd.builtin.actions.run_command import RunCommand
from hydrusd.builtin.actions.set_cookies import SetCookies
from hydrusd.builtin.actions.set_favourite_tags import SetFavouriteTags
from hydrusd.builtin.actions.set_headers import SetHeaders
from hydrusd.builtin.actions.set_king import SetKing
from hydrusd.builtin.actions.set_notes import SetNotes
from hydrusd.builtin.actions.set_rating import SetRating
from hydrusd.builtin.actions.set_relationship import SetRelationship
from hydrusd.builtin.actions.set_time import SetTime
from hydrusd.builtin.actions.set_viewing_time import SetViewingTime
from hydrusd.builtin.actions.show_popup import ShowPopup
from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.builtin.actions.unarchive_file import UnarchiveFile
from hydrusd.builtin.actions.undelete_file import UndeleteFile
from hydrusd.builtin.actions.wait import Wait
from hydrusd.builtin.actions.write_sidecar import WriteSidecar
from hydrusd.plugin import AnyAction, hookimpl

ACTIONS: tuple[type[AnyAction], ...] = (
    AddFile,
    AddTags,
    AddToPage,
    AddUrl,
    AddViewingTime,
    ApplySidecar,
    ArchiveFile,
    AssociateUrl,
    ChangeTags,
    ClearDeletionRecord,
    CommitPending,
    CopySource,
    DeleteFile,
    DeleteNotes,
    DeleteSource,
    ExportFile,
    Fire,
    FocusPage,
    ForgetPending,
    HttpRequest,
    Log,
    MigrateFile,
    MoveSource,
    NewPage,
    Notify,
    RefreshPage,
    RemovePotentials,
    RemoveTags,
    RunCommand,
    SetCookies,
    SetFavouriteTags,
    SetHeaders,
    SetKing,
    SetNotes,
    SetRating,
    SetRelationship,
    SetTime,
    SetViewingTime,
    ShowPopup,
    TrashSource,
    UnarchiveFile,
    UndeleteFile,
    Wait,
    WriteSidecar,
)


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register them all."""
    for action in ACTIONS:
        register(action)
