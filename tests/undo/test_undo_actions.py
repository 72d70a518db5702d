"""Every action that can be undone: there, back, and there again; and what others did stays."""

from __future__ import annotations

from dataclasses import asdict

import anyio
import pytest
from edits_acting import PUBLIC, SERVICES, STARS, Editing
from library_acting import COMICS, DOMAINS, acting

from hydrusd.builtin.actions.add_tags import AddTags
from hydrusd.builtin.actions.add_viewing_time import AddViewingTime
from hydrusd.builtin.actions.archive_file import ArchiveFile
from hydrusd.builtin.actions.associate_url import AssociateUrl
from hydrusd.builtin.actions.change_tags import ChangeTags
from hydrusd.builtin.actions.delete_file import DeleteFile
from hydrusd.builtin.actions.delete_notes import DeleteNotes
from hydrusd.builtin.actions.migrate_file import MigrateFile
from hydrusd.builtin.actions.remove_tags import RemoveTags
from hydrusd.builtin.actions.set_favourite_tags import SetFavouriteTags
from hydrusd.builtin.actions.set_king import SetKing
from hydrusd.builtin.actions.set_notes import SetNotes
from hydrusd.builtin.actions.set_rating import SetRating
from hydrusd.builtin.actions.set_time import SetTime
from hydrusd.builtin.actions.set_viewing_time import SetViewingTime
from hydrusd.builtin.actions.unarchive_file import UnarchiveFile
from hydrusd.builtin.actions.undelete_file import UndeleteFile
from hydrusd.engine.undoing import _class_for, undoing_of
from hydrusd.hydrus import Pair, Relation, TagAction
from hydrusd.model import Outcome, OutcomeKind, StepRecord, tells

ALL_DELETED = b"all deleted files".hex()
URL = "https://example.com/post/1"
SITE = {"kind": "modified_on_web", "domain": "example.com"}


pytestmark = pytest.mark.anyio


class Undoable(Editing):
    """See Editing; does things and takes them back, until they are done."""

    async def state(self, hashes):
        """What the client knows of the files, and of what belongs to none."""
        rows = [asdict(await self.row(h)) for h in hashes]
        for row in rows:
            # That a tag or a place was deleted once cannot be forgotten by way of the API.
            for service in row["tags"].values():
                service["storage"].pop(2, None), service["display"].pop(2, None)
            row["deleted"] = None
            row["current"].pop(ALL_DELETED, None)
            row["urls"] = sorted(row["urls"])
            for place in row["current"].values():
                place.pop("imported_at", None)
            row["archived_at"] = None
            row["views"] = [v for v in row["views"] if v["views"]]
            for view in row["views"]:
                view["last_viewed_at"] = None
        kings = [(await self.related(h)).king for h in hashes]
        return rows, kings, await self.client.get_favourite_tags()

    async def do(self, action, hashes):
        """Run an action, or an undo, on files to its end; its last outcome."""
        steps = ()
        for _ in range(100):
            (call,) = self.calls(action, hashes)
            call.steps, call.position = steps, 0
            await type(action).run_set([call])
            if call.outcome.kind is not OutcomeKind.LATER:
                return call.outcome
            kept = call.outcome
            receipt = kept.receipt or (steps[0].receipt if steps else None) or self.kept
            steps = (StepRecord(0, action.action, kept.kind, "", kept.values, receipt),)
            await anyio.sleep(0.01)
        raise AssertionError(call.outcome)

    kept = None

    def calls(self, action, *files, **more):
        made = super().calls(action, *files, **more)

        async def keep(receipts):
            (self.kept,) = receipts.values()

        for call in made:
            call.keeper = keep
        return made

    def undo(self, action, outcome):
        """Give what takes back an outcome of an action, or of an undo."""
        step, undone = action.action, getattr(type(action), "undoes", type(action))
        kind = _class_for(undoing_of(step), undone)
        assert undone.can_undo()
        assert undone.undo_refusal(outcome.receipt) == ""
        return kind.model_construct(receipt=outcome.receipt, values=outcome.values)


@pytest.fixture
async def it(stage, tmp_path):
    config = {"extra_services": (*SERVICES, *DOMAINS)}
    async with acting(stage, tmp_path, **config) as made:
        yield Undoable(made.client, made.simulator, made.folder)


async def nothing(it, hashes):
    pass


async def tagged(it, hashes):
    await it.client.add_tags(hashes[:1], {"my tags": ["a", "mine"], "public": ["p"]})


async def noted(it, hashes):
    await it.client.set_notes(hashes[0], {"one": "old text", "other": "stays"})


async def rated(it, hashes):
    await it.client.set_rating(hashes[:1], STARS, 2)


async def from_url(it, hashes):
    await it.client.associate_url(hashes[:1], urls_to_add=[URL, f"{URL}1"])


async def archived(it, hashes):
    await it.client.archive_files(hashes[:1])


async def trashed(it, hashes):
    await it.client.delete_files(hashes[:1])


async def duplicates(it, hashes):
    one, other = hashes
    await it.client.set_file_relationships([Pair(one, other, Relation.A_IS_BETTER, merge=False)])


async def favourites(it, hashes):
    await it.client.set_favourite_tags(["a", "b"])


STORIES = [
    (tagged, AddTags.model_validate({"my tags": ["a", "b"], "public": ["p", "q"]})),
    (tagged, RemoveTags.model_validate({"my tags": ["a", "c"], "public": ["p"]})),
    (tagged, ChangeTags.model_validate({"my tags": {"add": ["x"], "delete": ["mine"]}})),
    (noted, SetNotes(notes={"one": "new text", "two": "more"})),
    (noted, SetNotes(notes={"one": "new text"}, merge=True)),
    (noted, DeleteNotes(names=["one", "three"])),
    (rated, SetRating(service="stars", rating="4/5")),
    (rated, SetRating(service="seen", rating=3)),
    (nothing, SetTime.model_validate({**SITE, "at": "2020-01-02T03:04:05Z"})),
    (nothing, SetViewingTime.model_validate({"views": 3, "time": "10s"})),
    (nothing, AddViewingTime.model_validate({"views": 2, "time": "5s"})),
    (from_url, AssociateUrl(add=[URL, f"{URL}2"])),
    (from_url, AssociateUrl(delete=[URL])),
    (archived, ArchiveFile()),
    (archived, UnarchiveFile()),
    (trashed, DeleteFile()),
    (trashed, UndeleteFile()),
    (nothing, MigrateFile(to=["comics"])),
    (nothing, MigrateFile(to=["comics"], move=True)),
    (favourites, SetFavouriteTags(add=["c"], remove=["a"])),
]


@pytest.mark.parametrize(
    ("before", "action"), STORIES, ids=[f"{a.action}-{n}" for n, (_, a) in enumerate(STORIES)]
)
async def test_there_and_back_and_there_again(it, before, action):
    hashes = await it.add(2)
    await before(it, hashes)
    first = await it.state(hashes)
    done = await it.do(action, hashes)
    assert done.kind is OutcomeKind.DONE
    then = await it.state(hashes)
    assert then != first

    back = it.undo(action, done)
    (seen,) = await it.plan(back, hashes)
    assert seen.changes
    undone = await it.do(back, hashes)
    assert undone.kind is OutcomeKind.DONE
    assert await it.state(hashes) == first

    # Done once more, as after a crash, it keeps what it did.
    (again,) = it.calls(back, hashes)
    again.steps = (StepRecord(0, back.action, undone.kind, "", {}, undone.receipt),)
    again.position = 0
    await type(back).run_set([again])
    assert await it.state(hashes) == first
    assert again.outcome.receipt == undone.receipt

    redo = it.undo(back, undone)
    redone = await it.do(redo, hashes)
    assert await it.state(hashes) == then
    assert (await it.do(it.undo(redo, redone), hashes)).kind is OutcomeKind.DONE
    assert await it.state(hashes) == first


async def test_what_takes_the_client_a_while_is_asked_for_once_a_minute(stage, tmp_path):
    """Done late and once more, it would do again what somebody has taken back meanwhile."""
    asked = "/add_files/migrate_files"
    async with acting(stage, tmp_path, extra_services=DOMAINS, migrate_seconds=60) as made:
        it = Undoable(made.client, made.simulator, made.folder)
        (sha256,) = await it.add(1)
        were = {"before": {sha256: {"domains": {COMICS: None}, "put_into": []}}, "moved": True}
        back, steps = it.undo(MigrateFile(to=["scans"]), Outcome.done(receipt=were)), ()
        for look in range(1, 62):
            (call,) = it.calls(back, [sha256])
            call.steps, call.position = steps, 0
            await type(back).run_set([call])
            assert (call.outcome.kind, call.outcome.delay_seconds) == (OutcomeKind.LATER, 2)
            assert made.simulator.requests[asked] == 1 + (look - 1) // 30
            steps = (StepRecord(0, back.action, call.outcome.kind, "", call.outcome.values, None),)


async def test_the_king_before_is_the_king_again(it):
    hashes = await it.add(2)
    await duplicates(it, hashes)
    action = SetKing()
    done = await it.do(action, hashes[1:])
    assert (await it.related(hashes[0])).king == hashes[1]
    back = it.undo(action, done)
    undone = await it.do(back, hashes[1:])
    assert (await it.related(hashes[0])).king == hashes[0]
    await it.do(it.undo(back, undone), hashes[1:])
    assert (await it.related(hashes[0])).king == hashes[1]


async def remove_tag(it, hashes):
    await it.client.change_tags(hashes, {"my tags": {TagAction.DELETE: ["b"]}})


async def write_note(it, hashes):
    for sha256 in hashes:
        await it.client.set_notes(sha256, {"one": "a person's"})


async def rate(it, hashes):
    await it.client.set_rating(hashes, STARS, 5)


async def take_url(it, hashes):
    await it.client.associate_url(hashes, urls_to_delete=[URL])


async def unarchive(it, hashes):
    await it.client.unarchive_files(hashes)


async def undelete(it, hashes):
    await it.client.undelete_files(hashes)


async def view(it, hashes):
    await it.client.set_file_viewtime(hashes, 0, seconds=99, views=9)


CHANGED_SINCE = [
    (AddTags.model_validate({"my tags": ["b"]}), remove_tag, "'b' is no longer there"),
    (SetNotes(notes={"one": "new text"}), write_note, "has changed since"),
    (SetRating(service="stars", rating="4/5"), rate, "the rating has changed since"),
    (AssociateUrl(add=[URL]), take_url, "no longer there"),
    (ArchiveFile(), unarchive, "in the inbox again"),
    (DeleteFile(), undelete, "there again"),
]


@pytest.mark.parametrize(
    ("action", "change", "why"), CHANGED_SINCE, ids=[a.action for a, *_ in CHANGED_SINCE]
)
async def test_what_somebody_has_changed_since_is_left_alone(it, action, change, why):
    hashes = await it.add(2)
    done = await it.do(action, hashes)
    await change(it, hashes)
    since = await it.state(hashes)
    back = it.undo(action, done)
    (seen,) = await it.plan(back, hashes)
    assert not seen.changes
    assert why in seen.detail
    outcome = await it.do(back, hashes)
    assert why in outcome.detail
    assert not tells(outcome.receipt)
    assert await it.state(hashes) == since


def test_what_is_gone_past_the_trash_is_refused_beforehand():
    receipt = {"before": {"00": {}}, "permanently": True}
    assert "for good" in DeleteFile.undo_refusal(receipt)


async def test_what_is_pending_in_a_repository_is_taken_back(it):
    hashes = await it.add(1)
    action = AddTags.model_validate({"public": ["p"]})
    done = await it.do(action, hashes)
    assert done.receipt == {"pended": {hashes[0]: {PUBLIC: ["p"]}}}
    await it.do(it.undo(action, done), hashes)
    assert not (await it.client.tags(hashes))[hashes[0]].get(PUBLIC, {}).get(1)
