"""Bringing files back into the state in which an action found them: inbox, places, kings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydrusd.builtin.actions._changing import is_here, local_domains, not_here
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import FileMetadata, FileRelationships, HydrusClient

REASON = "hydrusd: to undo what it did"
REASON_SINCE_API = 28

Found = tuple[Change | None, Sequence[str]]


# --- inbox -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InboxBack(Change):
    """Files are in the inbox as before, or archived as before."""

    inbox: bool

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Put them there."""
        await (client.unarchive_files if self.inbox else client.archive_files)(hashes)

    def words(self, answer: object = None) -> str:
        """Say where they are."""
        del answer
        return "put into the inbox" if self.inbox else "archived"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Tell where they were."""
        del answer
        at = state.archived_at
        archived = {} if not self.inbox else {"archived_at": at.isoformat() if at else None}
        return {"before": {"inbox": not self.inbox, **archived}}


def inbox_back(taken: Mapping[str, Any], row: FileMetadata) -> Found:
    """Take back that a file was archived, or put into the inbox."""
    inbox = bool(taken["before"]["inbox"])
    if gone := not_here(row):
        return None, [gone]
    if row.is_inbox == inbox:
        return None, [f"it is {'in the inbox' if inbox else 'archived'} again"]
    return InboxBack(inbox), []


# --- places ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Undeleted(Change):
    """Files are in these local file domains again; in all that they were in, if none is named."""

    domains: tuple[str, ...]
    named: bool

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Bring them back from the trash."""
        await client.undelete_files(hashes, to_domains=self.domains if self.named else ())

    def words(self, answer: object = None) -> str:
        """Say so."""
        del answer
        return "brought back from Hydrus' trash"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Tell from where they were deleted, and when."""
        del answer
        places = {
            key: state.deleted[key].deleted_at for key in self.domains if key in state.deleted
        }
        return {
            "before": {
                "deleted_from": {k: at.isoformat() if at else None for k, at in places.items()}
            }
        }


@dataclass(frozen=True, slots=True)
class TakenOut(Change):
    """Files are out of these local file domains again; in the trash, where these are all."""

    domains: tuple[str, ...]

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Delete them there, never for good."""
        speaks = client.info.api_version >= REASON_SINCE_API
        await client.delete_files(
            hashes,
            from_domains=self.domains if speaks else (),
            reason=REASON if speaks else "",
        )

    def words(self, answer: object = None) -> str:
        """Say so."""
        del answer
        return "deleted in Hydrus again"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Tell where they were."""
        del answer
        places = {key: state.current[key].imported_at for key in self.domains}
        return {
            "before": {
                "domains": {k: at.isoformat() if at else None for k, at in places.items()},
                "inbox": state.is_inbox,
                "trashed": False,
            }
        }


def places_back(client: HydrusClient, taken: Mapping[str, Any], row: FileMetadata) -> Found:
    """Take back that a file was deleted, or brought back."""
    before, there = taken["before"], local_domains(client)
    if "deleted_from" in before:
        again = tuple(sorted(set(before["deleted_from"]) & there & set(row.current)))
        return (TakenOut(again), []) if again else (None, ["it is deleted again"])
    missing = tuple(sorted((set(before["domains"]) & there) - set(row.current)))
    if not row.is_local:
        return None, ["it is no longer in Hydrus' trash"]
    if not missing:
        return None, ["Hydrus has it there again"]
    return Undeleted(missing, named=set(missing) != there & set(row.deleted)), []


@dataclass(frozen=True, slots=True)
class MigratedBack(Change):
    """Files are on their way to these domains, which takes Hydrus a while."""

    domains: tuple[str, ...]
    goes_on = True

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Ask for it."""
        await client.migrate_files(hashes, self.domains)

    def words(self, answer: object = None) -> str:
        """Say so."""
        del answer
        return "put back where it was"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Tell where they were, and where they are put."""
        del answer
        return {
            "before": {
                "domains": dict.fromkeys(sorted(state.current)),
                "put_into": list(self.domains),
            }
        }


@dataclass(frozen=True, slots=True)
class MigratedOut(TakenOut):
    """Files are out of where they were put, and stay where they were before."""

    def words(self, answer: object = None) -> str:
        """Say so."""
        del answer
        return "taken out of where it was put"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Tell where they were."""
        del answer
        return {"before": {"domains": dict.fromkeys(sorted(state.current)), "put_into": []}}


def migration_back(client: HydrusClient, taken: Mapping[str, Any], row: FileMetadata) -> Found:
    """Take back that a file was put into other domains: it is where it was, and there only."""
    before, there = taken["before"], local_domains(client)
    wanted, current = set(before["domains"]) & there, set(row.current) & there
    if not is_here(row):
        return None, [not_here(row)]
    if not wanted:
        return None, ["the domains that it was in are gone"]
    if missing := wanted - current:
        return MigratedBack(tuple(sorted(missing))), []
    if extra := (set(before.get("put_into", ())) & current) - wanted:
        return MigratedOut(tuple(sorted(extra))), []
    return None, ["it is where it was"]


# --- kings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KingBack(Change):
    """The best of a group of duplicates is the one that was it before."""

    king: str

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Say which."""
        del hashes
        await client.set_kings([self.king])

    def words(self, answer: object = None) -> str:
        """Say so."""
        del answer
        return "the best of its duplicates is the one before"

    def kept(self, state: FileRelationships, answer: object) -> Mapping[str, object]:
        """Tell which one was the best."""
        del answer
        return {"before": {"king": state.king}}


def king_back(file_hash: str, taken: Mapping[str, Any], row: FileRelationships) -> Found:
    """Take back that another one was made the best."""
    king = taken["before"]["king"]
    if king is None or (king != file_hash and king not in row.duplicates):
        return None, ["they are no duplicates any more"]
    if row.king == king:
        return None, ["the one before is the best again"]
    if king != file_hash and not row.is_king:
        return None, ["yet another one is the best now"]
    return KingBack(king), []
