"""The recipes of the documents, run as they stand, on the simulator."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hydrusd.clock import SystemClock
from hydrusd.testing import paint

RECIPES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
COOKIES = """# Netscape HTTP Cookie File
.example.com\tTRUE\t/\tTRUE\t1924992000\tsession\tvalue-of-a-secret
#HttpOnly_.example.com\tTRUE\t/\tTRUE\t0\tvisit\tanother-secret-value
.elsewhere.org\tTRUE\t/\tTRUE\t1924992000\tother\tnot-to-be-sent
"""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)


def without_client(rules):
    return rules[rules.index("rules:") :]


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / ".local" / "share"))
    return folder


@pytest.fixture
def inbox(home):
    return home / "Pictures" / "inbox"


def dropped(made, home, name, content=None):
    return made.drop(str(home / "Pictures" / "inbox" / name), content)


def test_a_watched_folder_is_imported(project, home, inbox):
    made = project({"rules.yaml": without_client(blocks("yaml")[0])})
    dropped(made, home, "a.jpg")
    dropped(made, home, "trip/b.png")
    dropped(made, home, "broken.png", b"no picture")
    made.run(jobs=3)
    assert [letter.rule for letter in made.dead_letters] == ["import my downloads"]
    assert sorted(path.name for path in inbox.rglob("*.*")) == ["broken.png"]
    assert len(made.simulator.committed_files()) == 2
    b = made.sha256(str(inbox / "trip" / "b.png"))
    assert made.simulator.committed_tags(b)[0] == {"source:downloads", "folder:trip"}


class Morning(SystemClock):
    """The machine's clock, set to two seconds before five in the morning of its own zone."""

    def __init__(self):
        local = datetime.now().astimezone()
        five = local.replace(hour=5, minute=0, second=0, microsecond=0)
        self._shift = five - timedelta(seconds=2) - local

    def now(self):
        return datetime.now(UTC) + self._shift


def test_cookies_are_refreshed_in_the_morning(project, home):
    made = project({"rules.yaml": without_client(blocks("yaml")[1])})
    home.mkdir(exist_ok=True)
    (home / "cookies.txt").write_text(COOKIES, encoding="utf-8")
    made.run(jobs=1, clock=Morning()).assert_success()
    cookies = made.ask("/manage_cookies/get_cookies", domain="example.com")["cookies"]
    assert {name: value for name, value, *_ in cookies} == {
        "session": "value-of-a-secret",
        "visit": "another-secret-value",
    }
    assert made.ask("/manage_cookies/get_cookies", domain="elsewhere.org")["cookies"] == []
    for file in made.state_dir.iterdir():
        assert b"value-of-a-secret" not in file.read_bytes()


def test_a_plugin_of_ones_own_works(project, home, inbox):
    rules = without_client(blocks("yaml")[0])
    [steps] = blocks("text")
    assert "      - add_file:\n" in rules
    made = project(
        {
            "rules.yaml": rules.replace("      - add_file:\n", steps),
            "plugins/tag_by_size.py": blocks("python")[0],
        }
    )
    dropped(made, home, "small.png")
    dropped(made, home, "large.png", paint("large.png") + bytes(1_000_001))
    made.run(jobs=2).assert_success()
    tags = {
        name: made.simulator.committed_tags(made.sha256(str(inbox / name)))[0]
        for name in ("small.png", "large.png")
    }
    assert "size:large" in tags["large.png"]
    assert "size:large" not in tags["small.png"]
