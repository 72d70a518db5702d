"""Which files and sidecars wait for each other, and for how long: the clock is in our hands."""

from __future__ import annotations

import anyio
import pytest
from pydantic import ValidationError
from test_watch_folder import Context, watching

from hydrusd.builtin.triggers import _sidecars
from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.plugin import FileSource, HadFile

pytestmark = pytest.mark.anyio

PARAMETERS = {"settle": "2s", "sidecars": ["txt", "json"], "sidecar_wait": "10s"}


class UnitContext(Context):
    """Remembers what was set aside, and what files it has had with which hash."""

    def __init__(self, known=()):
        super().__init__(known)
        self.aside = {}
        self.failed = []
        self.had = []
        self.times = {}

    async def emit(self, events, *, aside=(), **kept):
        if events or not aside:
            await super().emit(events, **kept)
        for event in events:
            self.times[event.data["file"]["name"]] = self.clock.monotonic()
        for each in aside:
            self.known.add(each.event.key)
            if each.failed:
                self.failed.append(each)
            else:
                self.aside.setdefault(each.event.data["file"]["name"], each.reason)

    async def files_had(self, paths, *, stems=()):
        return [
            one
            for one in self.had
            if one.source.path in paths or one.source.path.with_suffix("") in stems
        ]

    def units(self):
        return {
            event.data["file"]["name"]: event.data["sidecar"]["tags"]
            for event in self.events
            if not event.data["sidecar"]["late"]
        }

    def late(self):
        return [
            (event.data["file"]["name"], event.data["sidecar"]["tags"], event.data.get("hash"))
            for event in self.events
            if event.data["sidecar"]["late"]
        ]

    async def passes(self, seconds):
        end = self.clock.monotonic() + seconds
        await self.until(lambda: self.clock.monotonic() >= end)


@pytest.fixture
def context():
    return UnitContext()


def had(path, root, sha256, *, rules=("import",), under_way=False):
    source = FileSource.of(path, root, path.lstat())
    return HadFile(source, frozenset(rules), sha256, under_way)


async def test_a_file_waits_for_its_sidecar_and_goes_as_soon_as_that_has_settled(root, context):
    async with watching(root, context, **PARAMETERS):
        (root / "a.jpg").write_bytes(b"a")
        await context.passes(5)
        assert not context.events
        began = context.clock.monotonic()
        (root / "a.jpg.txt").write_bytes(b"tag\n")
        await context.until_emitted("a.jpg")
        assert context.units() == {"a.jpg": ["tag"]}
        assert context.times["a.jpg"] - began < 5
        assert context.aside["a.jpg.txt"] == "it is a sidecar, and goes with a.jpg"


async def test_a_file_without_a_sidecar_goes_when_the_wait_is_over(root, context):
    async with watching(root, context, **PARAMETERS):
        began = context.clock.monotonic()
        (root / "a.jpg").write_bytes(b"a")
        await context.until_emitted("a.jpg")
        assert context.units() == {"a.jpg": []}
        assert 12 <= context.times["a.jpg"] - began <= 14


async def test_a_sidecar_that_comes_first_waits_and_is_never_a_file(root, context):
    async with watching(root, context, **PARAMETERS, include=["*"]):
        (root / "a.jpg.txt").write_bytes(b"early\n")
        await context.passes(40)
        assert not context.events
        assert not context.warnings
        (root / "a.jpg").write_bytes(b"a")
        await context.until_emitted("a.jpg")
        await context.passes(100)
        assert context.units() == {"a.jpg": ["early"]}
        assert context.names == ["a.jpg"]
        assert not context.warnings


async def test_sidecars_are_found_whatever_include_says_but_not_what_exclude_says(root, context):
    (root / "a.jpg").write_bytes(b"a")
    (root / "a.jpg.txt").write_bytes(b"yes\n")
    (root / "a.jpg.json").write_bytes(b'{"tags": ["no"]}')
    (root / "b.png").write_bytes(b"b")
    parameters = {**PARAMETERS, "include": ["*.jpg"], "exclude": ["*.json"]}
    async with watching(root, context, **parameters):
        await context.until_emitted("a.jpg")
        assert context.units() == {"a.jpg": ["yes"]}


async def test_one_without_a_file_is_told_of_once_and_goes_with_its_file_later(root, context):
    (root / "lonely.txt").write_bytes(b"tag\n")
    async with watching(root, context, **PARAMETERS, scan_every="5s"):
        await context.until(lambda: context.warnings)
        await context.passes(100)
        told = f"{root / 'lonely.txt'}: it is a sidecar, and there is no file that it belongs to"
        assert context.warnings == [told]
        assert not context.events
        (root / "lonely.png").write_bytes(b"x")
        await context.until_emitted("lonely.png")
        assert context.units() == {"lonely.png": ["tag"]}


async def test_a_scan_does_not_have_a_file_wait_anew(root, context):
    (root / "a.jpg").write_bytes(b"a")
    parameters = {**PARAMETERS, "sidecar_wait": "60s", "scan_every": "5s"}
    async with watching(root, context, **parameters):
        await context.until_emitted("a.jpg")
        assert context.times["a.jpg"] < 75


async def test_a_sidecar_that_never_stops_changing_does_not_keep_its_file(root, context):
    async with watching(root, context, **PARAMETERS):
        (root / "a.jpg").write_bytes(b"a")
        path = root / "a.jpg.txt"
        count = 0
        while not context.events:
            count += 1
            path.write_bytes(b"tag\n" * count)
            await context.passes(0.5)
            assert count < 100
        assert context.units() == {"a.jpg": []}
        context.had = [had(root / "a.jpg", root, "ab" * 32)]
        await context.until(context.late)
        assert context.late() == [("a.jpg", ["tag"], "ab" * 32)]


async def test_a_late_one_finds_its_file_that_is_gone(root, context):
    path = root / "a.jpg"
    path.write_bytes(b"a")
    context.had = [had(path, root, "ab" * 32)]
    path.unlink()
    (root / "a.jpg.txt").write_bytes(b"one\n")
    (root / "a.txt").write_bytes(b"two\n")
    async with watching(root, context, **PARAMETERS):
        await context.until(lambda: len(context.late()) == 2)
        assert sorted(context.late()) == [
            ("a.jpg", ["one"], "ab" * 32),
            ("a.jpg", ["two"], "ab" * 32),
        ]
        await context.passes(100)
        assert len(context.events) == 2
        assert context.aside["a.txt"] == "it is a sidecar, and goes with a.jpg"


async def test_a_late_one_waits_while_its_file_is_on_its_way(root, context):
    path = root / "a.jpg"
    path.write_bytes(b"a")
    async with watching(root, context, **PARAMETERS):
        await context.until_emitted("a.jpg")
        context.had = [had(path, root, None, under_way=True)]
        (root / "a.jpg.txt").write_bytes(b"late\n")
        await context.passes(120)
        assert not context.late()
        assert not context.warnings
        context.had = [had(path, root, "ab" * 32)]
        await context.until(context.late)


async def test_a_rule_that_has_not_had_the_file_gets_it_in_full(root, context):
    path = root / "a.jpg"
    path.write_bytes(b"a")
    async with watching(root, context, **PARAMETERS):
        await context.until_emitted("a.jpg")
        context.had = [had(path, root, None, rules=())]
        (root / "a.jpg.txt").write_bytes(b"late\n")
        await context.until_emitted("a.jpg")
        await context.until(lambda: len(context.events) == 2)
        assert context.events[1].data["sidecar"]["late_for"] == []
        assert context.events[1].data["sidecar"]["tags"] == ["late"]


async def test_a_malformed_one_is_set_aside_as_failed_with_its_file_going_on(root, context):
    (root / "a.jpg").write_bytes(b"a")
    (root / "a.jpg.txt").write_bytes(b"fine\n\xff\xfe broken\n")
    (root / "tags.txt").write_bytes(b"\xff")
    (root / "b.jpg").write_bytes(b"b")
    (root / "b.jpg.txt").write_bytes(b"good\n")
    async with watching(root, context, **PARAMETERS, folder_sidecars=["tags.txt"]):
        await context.until_emitted("a.jpg", "b.jpg")
        assert context.units() == {"a.jpg": [], "b.jpg": ["good"]}
        told = {each.reason for each in context.failed}
        why = "it is not UTF-8; save it as UTF-8; put right, it counts by itself"
        assert told == {
            f"the sidecar a.jpg.txt cannot be used: line 2: {why}",
            f"the sidecar tags.txt cannot be used: line 1: {why}",
        }
        # That of the folder, once: the same key for each of its files.
        assert len({each.event.key for each in context.failed}) == 2


async def test_a_sidecar_belongs_to_the_file_with_its_whole_name_first(root, context):
    for name in ("a.jpg", "a.jpg.webp", "b", "b.png"):
        (root / name).write_bytes(name.encode())
    (root / "a.jpg.txt").write_bytes(b"of the jpg\n")
    (root / "a.txt").write_bytes(b"of all called a\n")
    (root / "b.txt").write_bytes(b"of b\n")
    async with watching(root, context, **PARAMETERS):
        await context.until_emitted("a.jpg", "a.jpg.webp", "b", "b.png")
        assert context.units() == {
            "a.jpg": ["of the jpg", "of all called a"],
            "a.jpg.webp": [],
            "b": ["of b"],
            "b.png": [],
        }


async def test_what_a_folder_says_counts_for_its_own_files(root, context):
    (root / "album").mkdir()
    for name in ("a.jpg", "album/b.jpg"):
        (root / name).write_bytes(b"x")
    (root / "album" / "tags.txt").write_bytes(b"album\n")
    parameters = {"settle": "2s", "folder_sidecars": ["tags.txt"], "sidecar_wait": "5s"}
    async with watching(root, context, **parameters):
        await context.until_emitted("a.jpg", "album/b.jpg")
        assert context.units() == {"a.jpg": [], "b.jpg": ["album"]}
        await context.passes(100)
        assert context.names == ["album/b.jpg", "a.jpg"]
        assert not context.warnings


async def test_a_file_that_changes_while_it_waits_is_taken_as_it_is_then(root, context):
    async with watching(root, context, **PARAMETERS):
        (root / "a.jpg").write_bytes(b"a")
        await context.passes(6)
        (root / "a.jpg").write_bytes(b"longer")
        await context.until_emitted("a.jpg")
        await context.passes(30)
        assert [event.data["file"]["size"] for event in context.events] == [6]


async def test_one_that_cannot_be_read_is_added_when_it_can(root, context, monkeypatch):
    path = root / "a.jpg.txt"
    (root / "a.jpg").write_bytes(b"a")
    path.write_bytes(b"secret\n")
    read, shut = _sidecars._content, [True]

    def content(source):
        if shut and source.path == path:
            raise PermissionError(13, "Permission denied")
        return read(source)

    monkeypatch.setattr(_sidecars, "_content", content)
    async with watching(root, context, **PARAMETERS):
        await context.until_emitted("a.jpg")
        context.had = [had(root / "a.jpg", root, "ab" * 32)]
        await context.passes(30)
        [warning] = context.warnings
        assert "a.jpg.txt cannot be read (Permission denied)" in warning
        shut.clear()
        await context.until(context.late)
        assert context.late() == [("a.jpg", ["secret"], "ab" * 32)]


async def test_many_units_go_out_in_order_and_each_once(root, context):
    names = [f"{number:04}.jpg" for number in range(700)]
    for name in names:
        (root / name).write_bytes(name.encode())
        (root / f"{name}.txt").write_bytes(f"tag {name}\n".encode())
    async with watching(root, context, **PARAMETERS):
        await context.until_emitted(*names)
        assert context.units() == {name: [f"tag {name}"] for name in names}
        assert len(context.events) == len(names)
        with anyio.fail_after(10):
            await context.passes(15)
        assert len(context.events) == len(names)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"sidecars": ["text"]}, "there is no format 'text' of sidecars; there are txt,"),
        ({"sidecars": ["txt", "txt_commas"]}, "txt and txt_commas are both called *.txt"),
        ({"folder_sidecars": ["tags.yaml"]}, "'tags.yaml' has the suffix of no format"),
        ({"folder_sidecars": ["a/tags.txt"]}, "must be the name of a file, without a folder"),
        ({"sidecar_wait": "3s"}, "'sidecar_wait' means something with 'sidecars' only"),
    ],
)
async def test_what_cannot_be_is_refused(root, parameters, said):
    with pytest.raises(ValidationError) as refused:
        WatchFolder(path=root, **parameters)
    assert said in str(refused.value)
