"""What was noticed at a path before, for what comes later about it; and its plain keys, freed.

The key of a file begins with its path, so what was ever noticed there is one range of an index.
Of what was pruned the key still says which file it was, and a row for each rule that it has had it;
what it was in Hydrus is not known any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, tuple_, update

from hydrusd.ledger._tables import event, job, pruned_job
from hydrusd.model import KEY_FORM, Data, EventId, JobState

_AFTER_BAR = "}"
_AFTER_DOT = "/"
MOST_EVENTS = 200
"""How many events at one path, or of one stem, are looked at: the newest."""

_ENDINGS = frozenset({JobState.DONE, JobState.SKIPPED, JobState.DEAD})


@dataclass(frozen=True, slots=True)
class FileHad:
    """A file as it was noticed last: ``file`` of its event, the rules with a job for it, its hash.

    ``under_way``: it has no hash yet, but a job that may still give it one.
    """

    file: Data
    rules: frozenset[str]
    sha256: str | None
    under_way: bool


def files_had(
    connection: Connection, trigger: str, paths: Sequence[str], stems: Sequence[str]
) -> list[FileHad]:
    """Give what the events at these paths, and at these paths with any suffix, were about."""
    found: dict[str, FileHad] = {}
    for path in paths:
        start = json.dumps(path)
        for had in _in_range(connection, trigger, f"{start}|", f"{start}{_AFTER_BAR}"):
            found.setdefault(str(had.file["path"]), had)
    for stem in stems:
        start = json.dumps(stem)[:-1]
        for had in _in_range(connection, trigger, f"{start}.", f"{start}{_AFTER_DOT}"):
            place = str(had.file["path"])
            if str(Path(place).with_suffix("")) == stem:
                found.setdefault(place, had)
    return list(found.values())


def _in_range(connection: Connection, trigger: str, start: str, end: str) -> list[FileHad]:
    newest = (
        select(event.c.id)
        .where(event.c.trigger == trigger, event.c.key >= start, event.c.key < end)
        .order_by(event.c.id.desc())
        .limit(MOST_EVENTS)
    )
    statement = (
        select(
            event.c.key,
            event.c.data,
            func.coalesce(job.c.rule, pruned_job.c.rule).label("rule"),
            func.coalesce(job.c.state, pruned_job.c.state).label("state"),
            job.c.file_hash,
        )
        .select_from(
            event.outerjoin(job, job.c.event_id == event.c.id).outerjoin(
                pruned_job, pruned_job.c.event_id == event.c.id
            )
        )
        .where(event.c.id.in_(newest))
        .order_by(event.c.id.desc(), job.c.id, pruned_job.c.rule)
    )
    kept: dict[str, tuple[Data, list[Any]]] = {}
    for row in connection.execute(statement):
        file = row.data.get("file") or _file_in(row.key)
        if not isinstance(file, Mapping) or "path" not in file:
            continue
        of_path = kept.setdefault(str(file["path"]), (file, []))
        # What was there before, under the same name, is another file.
        if _identity(of_path[0]) == _identity(file) and row.rule is not None:
            of_path[1].append(row)
    return [_had(file, rows) for file, rows in kept.values()]


def _file_in(key: str) -> Data | None:
    """Give what the key of a file's event says of the file; None for other keys."""
    try:
        path, end = json.JSONDecoder().raw_decode(key)
        _, size, mtime_ns, inode = key[end:].partition(KEY_FORM)[0].split("|")
        return {
            "path": path,
            "root": str(Path(path).parent),
            "size": int(size),
            "mtime_ns": int(mtime_ns),
            "inode": int(inode) if inode else None,
        }
    except (TypeError, ValueError):
        return None


def _had(file: Data, jobs: Sequence[Any]) -> FileHad:
    sha256 = next((row.file_hash for row in jobs if row.file_hash), None)
    under_way = sha256 is None and any(row.state not in _ENDINGS for row in jobs)
    return FileHad(file, frozenset(row.rule for row in jobs), sha256, under_way)


def _identity(file: Data) -> tuple[object, ...]:
    return file.get("size"), file.get("mtime_ns"), file.get("inode")


def free_plain_keys(connection: Connection, event_ids: Sequence[EventId]) -> None:
    """Free the plain keys of things that were noticed in some form, see ``KEY_FORM``."""
    statement = select(event.c.trigger, event.c.key).where(
        event.c.id.in_(event_ids), event.c.key.contains(KEY_FORM, autoescape=True)
    )
    plain = [
        (trigger, key.rpartition(KEY_FORM)[0]) for trigger, key in connection.execute(statement)
    ]
    if plain:
        connection.execute(
            update(event)
            .where(tuple_(event.c.trigger, event.c.key).in_(plain), event.c.freed == 0)
            .values(freed=event.c.id)
        )
