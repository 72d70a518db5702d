"""Which groups of files need not be asked about: all of them are known, and still the same.

A memory of the ledger's own answers, and no second truth: it may lose any row at any time, and
a lost row costs a few hundred questions. What it must never do is to vouch for a file that the
ledger would call unseen. So a row is written in two steps, around the questions: ``doubt`` puts a
token in the place of the digest, ``vouch`` replaces that very token. Whatever makes a file unseen
again in between or later (its event is freed) deletes the row in its own transaction, and then
there is no token to replace.

A row counts for one view: one trigger with its parameters, and the rules that listen to it at
their revisions. Rows of other views are forgotten at the start, for under other rules the ledger
has been told other things since.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    LargeBinary,
    column,
    delete,
    func,
    select,
    tuple_,
    update,
)

from hydrusd.file_groups import FileGroup, groups_ever_of
from hydrusd.ledger._batches import Batch, chunks, given
from hydrusd.ledger._sqlite import insert_or_update
from hydrusd.ledger._tables import event, known_files

SPARE = 1_000
"""How many rows of groups that are no longer there are let be."""


class KnownFiles:
    """The ledger's statements about groups of files. Part of ``Ledger``."""

    _engine: Engine

    def doubt(
        self, view: bytes, digests: Mapping[FileGroup, bytes], token: bytes
    ) -> frozenset[FileGroup]:
        """Give the groups that nothing vouches for as they are, and mark them with the token.

        ``digests`` has all groups of each folder in it. The token is 16 bytes, new for each call.
        """
        ids = {folder: _id(folder) for folder, _ in digests}
        with self._engine.begin() as connection:
            kept: dict[tuple[bytes, int], bytes] = {}
            for chunk in chunks(list(ids.values())):
                statement = select(known_files.c.folder, known_files.c.part, known_files.c.digest)
                rows = connection.execute(
                    statement.where(known_files.c.folder.in_(chunk), known_files.c.view == view)
                )
                kept |= {(folder, part): digest for folder, part, digest in rows}
            doubted = frozenset(
                group
                for group, digest in digests.items()
                if kept.get((ids[group[0]], group[1])) != digest
            )
            if doubted:
                present = {(ids[folder], part) for folder, part in digests}
                _DELETE.execute(connection, [_row(view, *gone) for gone in kept.keys() - present])
                marks = [_row(view, ids[f], part) | {"digest": token} for f, part in doubted]
                insert_or_update(connection, known_files, marks)
        return doubted

    def vouch(self, view: bytes, digests: Mapping[FileGroup, bytes], token: bytes) -> None:
        """Note that every file of these groups was found to be known since they were marked."""
        rows = [
            _row(view, _id(folder), part) | {"token": token, "digest": new}
            for (folder, part), new in digests.items()
        ]
        with self._engine.begin() as connection:
            _VOUCH.execute(connection, rows)

    def forget_other_views(self, views: Collection[bytes]) -> None:
        """Forget what was vouched for in any other view than these."""
        with self._engine.begin() as connection:
            connection.execute(delete(known_files).where(known_files.c.view.not_in(views)))

    def forget_if_stale(self, view: bytes, groups: int) -> None:
        """Forget a whole view where most of it is about folders that are gone.

        ``groups`` is how many there really are. Keeps the table from growing without end.
        """
        mine = known_files.c.view == view
        with self._engine.begin() as connection:
            kept = connection.execute(select(func.count()).select_from(known_files).where(mine))
            if kept.scalar_one() > 2 * groups + SPARE:
                connection.execute(delete(known_files).where(mine))


def forget_files_of(connection: Connection, event_ids: Sequence[int]) -> None:
    """Vouch no longer for the files of these events: should they be there, they are news."""
    parts: dict[str, set[int]] = {}
    for chunk in chunks(event_ids):
        for key in connection.execute(select(event.c.key).where(event.c.id.in_(chunk))).scalars():
            if path := _path_in(key):
                for folder, part in groups_ever_of(path):
                    parts.setdefault(folder, set()).add(part)
    for folder, some in parts.items():
        # A folder has few rows, mostly one or none; to name all parts would take much longer.
        mine = known_files.c.folder == _id(folder)
        rows = connection.execute(select(known_files.c.part, known_files.c.view).where(mine))
        gone = [_row(view, _id(folder), part) for part, view in rows if part in some]
        _DELETE.execute(connection, gone)


def _path_in(key: str) -> str:
    """Give the path with which the key of a file's event begins; nothing for other keys."""
    if not key.startswith('"'):
        return ""
    try:
        return str(_DECODER.raw_decode(key)[0])
    except ValueError:
        return ""


def _id(folder: str) -> bytes:
    return blake2b(folder.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _row(view: bytes, folder: bytes, part: int) -> dict[str, Any]:
    return {"folder": folder, "part": part, "view": view}


_DECODER = json.JSONDecoder()

_GONE = given(column("folder", LargeBinary), column("part", Integer), column("view", LargeBinary))
_DELETE = Batch(
    delete(known_files).where(
        tuple_(known_files.c.folder, known_files.c.part, known_files.c.view).in_(
            select(_GONE.c.folder, _GONE.c.part, _GONE.c.view)
        )
    ),
    _GONE,
)
_VOUCHED = given(
    column("folder", LargeBinary),
    column("part", Integer),
    column("view", LargeBinary),
    column("token", LargeBinary),
    column("digest", LargeBinary),
)
_VOUCH = Batch(
    update(known_files)
    .where(
        known_files.c.folder == _VOUCHED.c.folder,
        known_files.c.part == _VOUCHED.c.part,
        known_files.c.view == _VOUCHED.c.view,
        known_files.c.digest == _VOUCHED.c.token,
    )
    .values(digest=_VOUCHED.c.digest),
    _VOUCHED,
)
