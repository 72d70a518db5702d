"""The examples of docs/library.md that act on what is in the client, or write out what it has."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio
from exampling import Example
from PIL import Image

from hydrusd.hydrus import FileRelationships, HydrusClient, Pair, Relation
from hydrusd.simulator import Service, SimulatorConfig
from hydrusd.testing import Project

COMICS = "cc" * 32
T = TypeVar("T")


def ask(project: Project, work: Callable[[HydrusClient], Awaitable[T]]) -> T:
    """Do something with the project's client over HTTP, as another program of its user would."""

    async def connected() -> T:
        async with HydrusClient(project.url, project.access_key) as client:
            await client.connect()
            return await work(client)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, connected).result()


def imported(project: Project, *names: str) -> list[str]:
    """Bring dropped files into the client beforehand; their hashes."""
    for name in names:
        path = project.folder / name
        ask(project, lambda client, path=path: client.add_file(path))
    return [project.sha256(name) for name in names]


def related(project: Project, name: str) -> FileRelationships:
    """Give what a dropped file is to others."""
    sha256 = project.sha256(name)
    return ask(project, lambda client: client.get_file_relationships([sha256]))[sha256]


def _drop(name: str) -> Callable[[Project], None]:
    return lambda project: (project.drop(name), None)[1]


def _archived(project: Project) -> None:
    assert not project.simulator.files[project.sha256("Pictures/scans/a.png")].inbox


def _prepare_archived(project: Project) -> None:
    hashes = imported(project.drop("Pictures/again/a.png"), "Pictures/again/a.png")
    ask(project, lambda client: client.archive_files(hashes))


def _in_inbox(project: Project) -> None:
    assert project.simulator.files[project.sha256("Pictures/again/a.png")].inbox


def _prepare_rejected(project: Project) -> None:
    imported(project.drop("Pictures/reject/a.png"), "Pictures/reject/a.png")


def _rejected(project: Project) -> None:
    assert project.simulator.files[project.sha256("Pictures/reject/a.png")].status == "trashed"
    assert (project.folder / "Pictures/reject/a.png").exists()


def _prepare_trashed(project: Project) -> None:
    hashes = imported(project.drop("Pictures/keep/a.png"), "Pictures/keep/a.png")
    ask(project, lambda client: client.delete_files(hashes))


def _kept(project: Project) -> None:
    assert project.simulator.files[project.sha256("Pictures/keep/a.png")].status == "current"


def _prepare_deleted(project: Project) -> None:
    names = [f"Pictures/second-chance/{name}.png" for name in ("gone", "trashed", "new")]
    for name in names:
        project.drop(name)
    gone, trashed = imported(project, *names[:2])
    ask(project, lambda client: client.delete_files([gone], permanently=True))
    ask(project, lambda client: client.delete_files([trashed]))


def _all_back(project: Project) -> None:
    assert {file.status for file in project.simulator.files.values()} == {"current"}
    assert len(project.simulator.files) == 3


def _in_comics_only(project: Project) -> None:
    sha256 = project.sha256("Pictures/comics/a.png")
    (row,) = ask(project, lambda client: client.file_metadata([sha256]))
    assert COMICS in row.current
    my_files = ask(project, _my_files)
    assert my_files in row.deleted


async def _my_files(client: HydrusClient) -> str:
    return client.file_service("my files").reference


def _prepare_edited(project: Project) -> None:
    (original,) = imported(project.drop("original.png", noticed=False), "original.png")
    project.drop(f"Pictures/edited/{original}.png", _other_picture())


def _other_picture() -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (20, 10), (1, 2, 3)).save(held, "PNG")
    return held.getvalue()


def _alternates(project: Project) -> None:
    assert related(project, "original.png").alternates == (project.jobs[0].steps[0].values["hash"],)


def _prepare_duplicates(project: Project) -> None:
    project.drop("other.png", noticed=False).drop("Pictures/best/a.png")
    other, best = imported(project, "other.png", "Pictures/best/a.png")
    pair = Pair(other, best, Relation.A_IS_BETTER, merge=False)
    ask(project, lambda client: client.set_file_relationships([pair]))


def _is_king(project: Project) -> None:
    assert related(project, "other.png").king == project.sha256("Pictures/best/a.png")


def _prepare_potentials(project: Project) -> None:
    project.drop("other.png", noticed=False).drop("Pictures/frames/a.png")
    one, other = imported(project, "other.png", "Pictures/frames/a.png")
    project.simulator.add_potential_duplicates(one, other)


def _no_potentials(project: Project) -> None:
    assert related(project, "other.png").potentials == ()


def _framed(project: Project) -> None:
    with Image.open(project.folder / "Pictures/frame/a.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (800, 480))


def _backed_up(project: Project) -> None:
    sha256 = project.sha256("Pictures/inbox/a.png")
    copy = project.folder / "Backup" / f"{sha256}.png"
    assert copy.read_bytes() == (project.folder / "Pictures/inbox/a.png").read_bytes()
    sidecar = json.loads((copy.parent / f"{copy.name}.json").read_text(encoding="utf-8"))
    expected = {"hash": sha256, "tags": {"my tags": ["from:inbox"]}, "urls": [], "notes": {}}
    assert sidecar == expected


_PAGE = "library.md"
_WITH_COMICS = SimulatorConfig(extra_services=(Service("comics", 2, COMICS),))

EXAMPLES: dict[str, Example] = {
    "archive_file": Example(_PAGE, _archived, _drop("Pictures/scans/a.png")),
    "unarchive_file": Example(_PAGE, _in_inbox, _prepare_archived),
    "delete_file": Example(_PAGE, _rejected, _prepare_rejected),
    "undelete_file": Example(_PAGE, _kept, _prepare_trashed),
    "clear_deletion_record": Example(_PAGE, _all_back, _prepare_deleted, {"jobs": 3}),
    "migrate_file": Example(
        _PAGE, _in_comics_only, _drop("Pictures/comics/a.png"), simulator=_WITH_COMICS
    ),
    "set_relationship": Example(_PAGE, _alternates, _prepare_edited),
    "set_king": Example(_PAGE, _is_king, _prepare_duplicates),
    "remove_potentials": Example(_PAGE, _no_potentials, _prepare_potentials),
    "export_file": Example(_PAGE, _framed, _drop("Pictures/inbox/a.png")),
    "write_sidecar": Example(_PAGE, _backed_up, _drop("Pictures/inbox/a.png")),
}
