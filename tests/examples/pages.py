"""The examples of docs/pages-and-popups.md."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing

from exampling import Example
from library import ask

from hydrusd.daemon import LEDGER_FILE
from hydrusd.hydrus import HydrusClient, Page, PageType
from hydrusd.testing import Project


def page(project: Project, name: str) -> Page:
    """Give the only page of a name, wherever it is."""
    top = ask(project, lambda client: client.get_pages())
    [found] = [each for each in top.walk() if each.name == name]
    return found


def shown(project: Project, name: str) -> Sequence[str]:
    """Give the files on a page."""
    key = page(project, name).page_key
    media = ask(project, lambda client: client.get_page_info(key, simple=False)).media
    assert media
    return media.hashes


def _popup(project: Project, *, passing: bool, hashes: Sequence[str] = ()) -> str:
    """Show a popup as an earlier run of a rule has done, and give its key."""
    mark = {"name": "new scans", "told": [], "passing": passing}
    label = "new" if hashes else ""
    return ask(
        project,
        lambda client: client.add_popup(
            status_text_1="old news",
            api_data={"hydrusd": mark},
            hashes=hashes,
            files_label=label,
        ),
    ).key


def remembered(trigger: str) -> Callable[[Project], bool]:
    """Wait until a trigger has looked once."""

    def is_remembered(project: Project) -> bool:
        with closing(sqlite3.connect(project.state_dir / LEDGER_FILE)) as ledger:
            statement = "SELECT count(*) FROM trigger_memory WHERE trigger = ?"
            return bool(ledger.execute(statement, [trigger]).fetchone()[0])

    return is_remembered


def _two_pages(project: Project) -> None:
    ask(project, lambda client: client.new_page(PageType.FILE_SEARCH, page_name="inbox"))


def _inbox_in_front(project: Project) -> None:
    assert page(project, "inbox").selected
    assert not page(project, "files").selected


def _to_sort_is_there(project: Project) -> None:
    assert page(project, "to sort").page_type == PageType.FILE_SEARCH
    assert not page(project, "to sort").selected


def _two_files(project: Project) -> None:
    project.drop("Pictures/inbox/a.png").drop("Pictures/inbox/b.png")


def _both_shown(project: Project) -> None:
    files = {project.sha256(f"Pictures/inbox/{name}.png") for name in "ab"}
    assert set(shown(project, "new pictures")) == files


def _nested_search(project: Project) -> None:
    async def make(client: HydrusClient) -> None:
        work = await client.new_page(PageType.PAGE_OF_PAGES, page_name="work")
        await client.new_page(
            PageType.FILE_SEARCH,
            page_name="inbox",
            page_of_pages_key=work.page_key,
            tags=["system:inbox"],
        )

    ask(project, make)
    project.drop("Pictures/inbox/a.png")


def _found(project: Project) -> None:
    assert list(shown(project, "inbox")) == [project.sha256("Pictures/inbox/a.png")]


def _old_news_and_a_scan(project: Project) -> None:
    _popup(project, passing=True)
    _popup(project, passing=False)
    project.drop("Pictures/scans/a.png")


def _told_of_the_scan(project: Project) -> None:
    [popup] = ask(project, lambda client: client.get_popups())
    assert popup.status_title == "tell of new scans"
    assert popup.files
    assert popup.files.hashes == (project.sha256("Pictures/scans/a.png"),)
    assert popup.is_done


def _put_away(project: Project) -> None:
    key = _popup(project, passing=False, hashes=[project.seed("seen.png")])
    project.run(until=remembered("popup"))
    ask(project, lambda client: client.dismiss_popup(key))


def _archived(project: Project) -> None:
    [file] = project.simulator.files.values()
    assert not file.inbox


def _greeted(project: Project) -> None:
    _to_sort_is_there(project)
    [popup] = ask(project, lambda client: client.get_popups())
    assert popup.status_text_1 == "hydrusd goes on."


def _restarted(project: Project) -> None:
    project.run(until=remembered("client"))
    project.simulator.shut_down()


_DOCUMENT = "pages-and-popups.md"

EXAMPLES: dict[str, Example] = {
    "focus_page": Example(_DOCUMENT, _inbox_in_front, _two_pages),
    "new_page": Example(_DOCUMENT, _to_sort_is_there),
    "add_to_page": Example(_DOCUMENT, _both_shown, _two_files, {"jobs": 2}),
    "refresh_page": Example(_DOCUMENT, _found, _nested_search),
    "show_popup": Example(_DOCUMENT, _told_of_the_scan, _old_news_and_a_scan),
    "popup": Example(_DOCUMENT, _archived, _put_away),
    "client": Example(_DOCUMENT, _greeted, _restarted),
}
