"""The examples of docs/local-actions.md, but for ``fire``."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

from exampling import Example, HurryingClock

from hydrusd.testing import Project

PAGE = "local-actions.md"
INBOX = "Pictures/inbox"
PICTURE = f"{INBOX}/a.jpg"


def drop(*names: str):
    """Drop pictures into the inbox."""

    def dropped(project: Project) -> None:
        for name in names or (PICTURE,):
            project.drop(name)

    return dropped


def has(project: Project, name: str) -> bool:
    """Say whether the simulated client has a file for good."""
    return project.sha256(name) in project.simulator.committed_files()


# --- the file that was noticed ---------------------------------------------------------------


def imported(project: Project) -> None:
    assert has(project, PICTURE)


def tagged_by_folder(project: Project) -> None:
    tags = project.simulator.committed_tags(project.sha256("Pictures/albums/2024/Iceland/a.jpg"))
    assert tags == {0: {"album:2024", "album:iceland"}}


def copied(project: Project) -> None:
    source = project.folder / INBOX / "2024" / "a.jpg"
    assert source.is_file()
    assert (project.folder / "Pictures/originals/2024/a.jpg").read_bytes() == source.read_bytes()
    assert has(project, f"{INBOX}/2024/a.jpg")


def moved_to(place: str):
    def moved(project: Project) -> None:
        assert has(project, PICTURE)
        assert not (project.folder / PICTURE).exists()
        assert (project.folder / place).is_file()

    return moved


def deleted(project: Project) -> None:
    assert has(project, PICTURE)
    assert not any(path.is_file() for path in (project.folder / "Pictures").rglob("*"))


# --- the world outside -----------------------------------------------------------------------

DESCRIBE = """
import json, pathlib, sys
size = pathlib.Path(sys.argv[1]).stat().st_size
print(json.dumps({"mood": "mood:cheerful" if size else "mood:empty"}))
"""


def described(project: Project) -> None:
    tags = project.simulator.committed_tags(project.sha256(PICTURE))
    assert tags == {0: {"mood:cheerful"}}


class Hook:
    """Takes whatever is posted to it."""

    def __init__(self, *files: tuple[str, str]) -> None:
        self.files = files
        self.taken: list[tuple[dict[str, str], dict[str, object]]] = []

    def open(self, project: Project) -> None:
        """Listen, and write down where, as a user writes an address down."""
        hook = self
        self.taken.clear()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.taken.append((dict(self.headers), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        for name, text in self.files:
            address = text.format(port=self._server.server_port)
            (project.folder / name).write_text(address, encoding="utf-8")
        drop()(project)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


ARCHIVE = Hook(
    ("archive-url.txt", "http://127.0.0.1:{port}/new"), ("archive-token.txt", "sesame-6006")
)
CHAT = Hook(("chat-address.txt", "json://127.0.0.1:{port}/chat"))


def archive_was_told(project: Project) -> None:
    ARCHIVE.close()
    [(headers, body)] = ARCHIVE.taken
    assert headers["Authorization"] == "Bearer sesame-6006"
    assert body == {"name": "a.jpg", "sha256": project.sha256(PICTURE)}


def chat_was_told(project: Project) -> None:
    CHAT.close()
    [(_, body)] = CHAT.taken
    assert (body["title"], body["message"]) == ("new pictures", "a.jpg is in Hydrus")


# --- in hydrusd itself -----------------------------------------------------------------------


def waited(project: Project) -> None:
    moved_to("Pictures/done/a.jpg")(project)
    [_, step, _] = project.job(PICTURE).steps
    assert step.detail == "waited"


def logged(project: Project) -> None:
    [_, step] = project.job(PICTURE).steps
    assert step.detail == "logged: a.jpg: imported"


def example(check, prepare=None, *, speed=20, **given) -> Example:
    return Example(PAGE, check, prepare or drop(), clock=partial(HurryingClock, speed), **given)


EXAMPLES = {
    "add_file": example(imported),
    "add_folder_tags": example(tagged_by_folder, drop("Pictures/albums/2024/Iceland/a.jpg")),
    "copy_source": example(
        copied,
        drop(f"{INBOX}/2024/a.jpg"),
    ),
    "move_source": example(moved_to("Pictures/sorted/jpg/a.jpg")),
    "trash_source": example(moved_to("Pictures/trash/a.jpg")),
    "delete_source": example(deleted),
    "run_command": example(described, files={"scripts/describe.py": DESCRIBE}),
    "http_request": example(archive_was_told, ARCHIVE.open),
    "notify": example(chat_was_told, CHAT.open),
    "log": example(logged),
    "wait": example(waited, speed=1000),
}
