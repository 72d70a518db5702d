"""The examples of docs/editing-files.md."""

from __future__ import annotations

from collections.abc import Callable

from exampling import Example
from library import ask, imported

from hydrusd.hydrus import CanvasType, FileMetadata
from hydrusd.simulator import Service, SimulatorConfig
from hydrusd.testing import Project

PUBLIC = "aa" * 32

_PAGE = "editing-files.md"
_CURRENT, _PENDING, _DELETED, _PETITIONED = range(4)


def row(project: Project, name: str) -> FileMetadata:
    """Give what the client knows of a dropped file."""
    hashes = [project.sha256(name)]
    (found,) = ask(
        project, lambda client: client.file_metadata(hashes, notes=True, milliseconds=True)
    )
    return found


def _drop(name: str) -> Callable[[Project], None]:
    return lambda project: (project.drop(name), None)[1]


def _tags(project: Project, name: str, service: str = "my tags") -> dict[int, set[str]]:
    return project.simulator.tags(project.sha256(name), service)


def _scan_tagged(project: Project) -> None:
    assert _tags(project, "Pictures/scans/a.png") == {_CURRENT: {"scan", "folder:scans"}}


def _prepare_to_sort(project: Project) -> None:
    hashes = imported(project.drop("Pictures/sorted/a.png"), "Pictures/sorted/a.png")
    ask(project, lambda client: client.add_tags(hashes, {"my tags": ["to sort", "cat"]}))


def _sorted(project: Project) -> None:
    assert _tags(project, "Pictures/sorted/a.png") == {_CURRENT: {"cat"}, _DELETED: {"to sort"}}


def _prepare_wrong(project: Project) -> None:
    hashes = imported(project.drop("Pictures/corrected/a.png"), "Pictures/corrected/a.png")
    tags = {"my tags": ["artist:wrong"], "public tags": ["artist:wrong"]}
    ask(project, lambda client: client.add_tags(hashes, tags))
    ask(project, lambda client: client.commit_pending("public tags"))


def _corrected(project: Project) -> None:
    name, right, wrong = "Pictures/corrected/a.png", {"artist:right"}, {"artist:wrong"}
    assert _tags(project, name) == {_CURRENT: right, _DELETED: wrong}
    theirs = {_CURRENT: wrong, _PENDING: right, _PETITIONED: wrong}
    assert _tags(project, name, "public tags") == theirs
    reasons = project.simulator.petition_reasons(project.sha256(name), "public tags")
    assert reasons == {"artist:wrong": "the signature says so"}


def _prepare_favourites(project: Project) -> None:
    project.drop("Pictures/days/monday.txt", b"a day")
    ask(project, lambda client: client.set_favourite_tags(["cat"]))


def _favourites(project: Project) -> None:
    tags = ask(project, lambda client: client.get_favourite_tags())
    assert sorted(tags) == ["cat", "day:monday"]


def _prepare_notes(project: Project) -> None:
    hashes = imported(project.drop("Pictures/downloads/a.png"), "Pictures/downloads/a.png")
    ask(project, lambda client: client.set_notes(hashes[0], {"origin": "a friend"}))


def _noted(project: Project) -> None:
    assert row(project, "Pictures/downloads/a.png").notes == {"origin": "a friend\n\na.png"}


def _prepare_comments(project: Project) -> None:
    hashes = imported(project.drop("Pictures/clean/a.png"), "Pictures/clean/a.png")
    notes = {"comments": "first!", "mine": "stays"}
    ask(project, lambda client: client.set_notes(hashes[0], notes))


def _clean(project: Project) -> None:
    assert row(project, "Pictures/clean/a.png").notes == {"mine": "stays"}


def _liked(project: Project) -> None:
    assert True in row(project, "Pictures/best/a.png").ratings.values()


def _dated(project: Project) -> None:
    written = (project.folder / "Pictures/scans/a.png").stat().st_mtime_ns // 10**6
    at = row(project, "Pictures/scans/a.png").modified_times["local"]
    assert round(at.timestamp() * 1000) == written


def _prepare_seen(project: Project) -> None:
    hashes = imported(project.drop("Pictures/seen/a.png"), "Pictures/seen/a.png")
    viewer = CanvasType.MEDIA_VIEWER
    ask(project, lambda client: client.set_file_viewtime(hashes, viewer, seconds=60, views=3))


def _views(project: Project, name: str, canvas: CanvasType) -> tuple[int, float]:
    (found,) = (views for views in row(project, name).views if views.canvas == canvas)
    return found.views, found.seconds


def _unseen(project: Project) -> None:
    assert _views(project, "Pictures/seen/a.png", CanvasType.MEDIA_VIEWER) == (0, 0)


def _shown(project: Project) -> None:
    assert _views(project, "Pictures/shown/a.png", CanvasType.CLIENT_API) == (1, 30)


def _shared(project: Project) -> None:
    assert _tags(project, "Pictures/shared/a.png", "public tags") == {_CURRENT: {"artist:me"}}


def _prepare_pending(project: Project) -> None:
    hashes = imported(project.drop("Pictures/private/a.png"), "Pictures/private/a.png")
    tags = {"public tags": ["secret"], "my tags": ["mine"]}
    ask(project, lambda client: client.add_tags(hashes, tags))


def _private(project: Project) -> None:
    assert _tags(project, "Pictures/private/a.png", "public tags") == {}
    assert _tags(project, "Pictures/private/a.png") == {_CURRENT: {"mine"}}


_WITH_PUBLIC = SimulatorConfig(extra_services=(Service("public tags", 0, PUBLIC),))

EXAMPLES: dict[str, Example] = {
    "add_tags": Example(_PAGE, _scan_tagged, _drop("Pictures/scans/a.png")),
    "remove_tags": Example(_PAGE, _sorted, _prepare_to_sort),
    "change_tags": Example(_PAGE, _corrected, _prepare_wrong, simulator=_WITH_PUBLIC),
    "set_favourite_tags": Example(_PAGE, _favourites, _prepare_favourites),
    "set_notes": Example(
        _PAGE,
        _noted,
        _prepare_notes,
    ),
    "delete_notes": Example(_PAGE, _clean, _prepare_comments),
    "set_rating": Example(_PAGE, _liked, _drop("Pictures/best/a.png")),
    "set_time": Example(_PAGE, _dated, _drop("Pictures/scans/a.png")),
    "set_viewing_time": Example(_PAGE, _unseen, _prepare_seen),
    "add_viewing_time": Example(_PAGE, _shown, _drop("Pictures/shown/a.png")),
    "commit_pending": Example(
        _PAGE, _shared, _drop("Pictures/shared/a.png"), simulator=_WITH_PUBLIC
    ),
    "forget_pending": Example(
        _PAGE,
        _private,
        _prepare_pending,
        simulator=_WITH_PUBLIC,
    ),
}
