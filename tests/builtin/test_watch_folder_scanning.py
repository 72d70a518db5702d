"""What a scan asks the ledger, and what it spares it; and who may go first."""

from __future__ import annotations

import anyio
import pytest
from watched import Context, names_in, watching

from hydrusd.builtin.triggers import _looking, watch_folder
from hydrusd.builtin.triggers.watch_folder import WatchFolder

pytestmark = pytest.mark.anyio


class Counting(Context):
    """Keeps which files were asked about, by their paths in the inbox."""

    def __init__(self, earlier=None):
        super().__init__(earlier.kept if earlier else None)
        self.vouched = earlier.vouched if earlier else {}
        self.asked = []

    async def unseen(self, keys):
        self.asked += [key.partition('"|')[0].rpartition("inbox/")[2] for key in keys]
        return await super().unseen(keys)


def fill(folder, count, first=0):
    folder.mkdir(exist_ok=True)
    for n in range(first, first + count):
        (folder / f"{n:04}.jpg").write_bytes(b"x")
    return [f"{n:04}.jpg" for n in range(first, first + count)]


async def once(root, earlier, count, **parameters):
    """Run until the first scan is over, and so many files in all are noticed or known."""
    context = Counting(earlier)
    async with watching(root, context=context, **parameters):
        await context.until(lambda: len(context.kept.keys) >= count)
    return context


async def test_each_file_is_asked_about_until_it_is_known_and_then_no_more(root):
    names = fill(root, 30)
    first = await once(root, None, 30)
    assert sorted(names_in(first)) == names
    assert first.vouched == {}  # nothing was known when it was asked about
    second = await once(root, first, 30)
    assert sorted(second.asked) == names
    third = await once(root, second, 30)
    assert third.asked == []
    assert second.events == third.events == []


async def test_only_the_group_of_a_file_that_came_or_changed_is_asked_about(root):
    fill(root / "quiet", 20)
    fill(root / "busy", 20)
    known = await once(root, await once(root, None, 40), 40)
    (root / "busy" / "0007.jpg").write_bytes(b"changed")
    (root / "busy" / "new.jpg").write_bytes(b"x")
    after = await once(root, known, 42)
    assert sorted(names_in(after)) == ["busy/0007.jpg", "busy/new.jpg"]
    assert len(set(after.asked)) == 21
    assert all(name.startswith("busy/") for name in after.asked)


async def test_a_folder_too_large_to_be_held_is_no_exception(root, monkeypatch):
    monkeypatch.setattr(_looking, "MOST_HELD", 100)
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 64)
    names = fill(root, 1500)
    first = await once(root, None, 1500)
    assert sorted(names_in(first)) == names
    second = await once(root, first, 1500)
    assert sorted(second.asked) == names
    (root / "new.jpg").write_bytes(b"x")
    third = await once(root, second, 1501)
    assert names_in(third) == ["new.jpg"]
    assert 0 < len(set(third.asked)) < 400
    assert (await once(root, third, 1501)).asked != []  # the new one was news, and is known now
    assert len(third.vouched) > 1


async def test_a_large_folder_that_loses_half_of_its_files_meanwhile(root, monkeypatch):
    monkeypatch.setattr(_looking, "MOST_HELD", 100)
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 64)
    fill(root, 1500)

    class Losing(Counting):
        async def doubt(self, digests):
            for n in range(0, 1500, 2):
                (root / f"{n:04}.jpg").unlink(missing_ok=True)
            return await super().doubt(digests)

    context = Losing()
    async with watching(root, context=context):
        await context.until(lambda: len(context.events) >= 750)
    assert sorted(names_in(context)) == [f"{n:04}.jpg" for n in range(1, 1500, 2)]


async def test_a_dropped_folder_does_not_wait_for_the_end_of_a_long_scan(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 3)
    for number in range(30):
        fill(root / f"{number:02}", 2)
    fill(tmp_path / "album", 1)
    order = []

    class Dropping(Context):
        async def doubt(self, digests):
            order.extend(folder for folder, _ in digests)
            if len(order) == 4:
                (tmp_path / "album").rename(root / "album")
                with anyio.fail_after(20):
                    while "album" not in watch._folders:  # noqa: ASYNC110 - the system's hint
                        await anyio.sleep(0.002)
            return await super().doubt(digests)

    context = Dropping()
    watch = watch_folder._Watch(WatchFolder(path=root, settle="2s"), context)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        await context.until(lambda: len(context.events) == 61)
        tasks.cancel_scope.cancel()
    assert order.index(str(root / "album")) < 8


@pytest.mark.parametrize(
    ("took", "said", "pause"),
    [
        (0.1, None, 300),
        (1.0, None, 1999),
        (2.0, None, 3600),
        (500.0, None, 3600),
        (2.0, 60, 60),
        (20.0, 60, 180),
    ],
)
def test_the_larger_a_folder_the_rarer_its_scans_unless_somebody_said_how_often(
    root, took, said, pause
):
    watch = watch_folder._Watch(WatchFolder(path=root, scan_every=said and f"{said}s"), Context())
    watch._how = watch_folder._How("", listens=True, complete=True)
    assert watch._pause(took, surprised=False) == pause
    assert watch._pause(0.1, surprised=True) == min(said or 30, 30)


async def test_how_many_files_were_found_and_how_many_wait_is_told(root, monkeypatch):
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 10)
    fill(root, 30)
    fill(root / "below", 25)
    (root / "unwanted.part").touch()
    context = Counting()
    async with watching(root, context=context):
        assert context.counts[-1] == (55, 55, False)
        found = [found for found, _, scanning in context.counts if scanning]
        assert found == sorted(found)
        assert 0 < found[0] < found[-1]  # while the scan went on
        await context.until(lambda: len(context.events) == 55)
        await context.until(lambda: context.counts[-1] == (55, 0, False))
