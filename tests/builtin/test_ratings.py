"""Ratings: what a service does not have is refused; what is rated so already is left alone."""

from __future__ import annotations

import pytest
from edits_acting import COUNT, FEW_STARS, STARS, editing
from library_acting import DEAD, DONE
from pydantic import ValidationError

from hydrusd.builtin.actions.set_rating import SetRating
from hydrusd.errors import ConfigError
from hydrusd.model import JobState

pytestmark = pytest.mark.anyio

FAVOURITES = "6661766f757269746573"


@pytest.mark.parametrize(
    ("service", "rating", "kept", "key", "before"),
    [
        ("favourites", "like", True, FAVOURITES, None),
        ("favourites", True, True, FAVOURITES, None),
        ("favourites", " Dislike ", False, FAVOURITES, None),
        ("stars", 3, 3, STARS, None),
        ("stars", "3/5", 3, STARS, None),
        ("stars", "0", 0, STARS, None),
        (STARS.upper(), "5 / 5", 5, STARS, None),
        ("one to three", "1", 1, FEW_STARS, None),
        ("seen", "12", 12, COUNT, 0),
    ],
)
async def test_a_rating_is_set_once_and_the_receipt_has_the_old_one(
    stage, tmp_path, service, rating, kept, key, before
):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        action = SetRating(service=service, rating=rating)
        assert list(action.preflight(at.client)) == []
        assert (await at.plan(action, [one]))[0].changes
        (outcome,) = await at.run(action, [one])
        rated = {"service": key, "before": before, "after": kept}
        assert outcome.receipt == {"changed": {one: rated}}
        assert (await at.row(one)).ratings[key] == kept
        assert type((await at.row(one)).ratings[key]) is type(kept)
        written = at.written
        (again,) = await at.run(action, [one])
        assert (again.receipt, at.written) == ({}, written)
        assert not (await at.plan(action, [one]))[0].changes
        assert await at.lost(action, [one]) == []


@pytest.mark.parametrize("none", [None, "none", "None"])
@pytest.mark.parametrize("service", ["favourites", "stars"])
async def test_a_rating_is_cleared_and_the_receipt_has_it(stage, tmp_path, service, none):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        old = True if service == "favourites" else 4
        await at.client.set_rating([one], service, old)
        (outcome,) = await at.run(SetRating(service=service, rating=none), [one])
        (rated,) = outcome.receipt["changed"].values()
        assert (rated["before"], rated["after"]) == (old, None)
        assert not any((await at.row(one)).ratings.values())


async def test_files_that_get_the_same_rating_share_a_request(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        hashes = await at.add(4)
        await at.client.set_rating(hashes[:1], "stars", 3)
        written = at.written
        three, five = SetRating(service="stars", rating=3), SetRating(service="stars", rating="5")
        calls = [*at.calls(three, hashes[:2]), *at.calls(three, [hashes[2]])]
        calls += at.calls(five, [hashes[3]])
        await SetRating.run_set(calls)
        assert at.written == written + 2
        assert [(await at.row(h)).ratings[STARS] for h in hashes] == [3, 3, 3, 5]
        assert calls[0].outcome.detail == "rated 3/5 on 1 of 2 files"


async def test_the_last_job_has_the_last_word(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one, other = await at.add(2)
        three, five = SetRating(service="stars", rating=3), SetRating(service="stars", rating=5)
        calls = [*at.calls(five, [other]), *at.calls(three, [one]), *at.calls(five, [one])]
        await SetRating.run_set(calls)
        assert (await at.row(one)).ratings[STARS] == 5
        assert calls[2].outcome.receipt["changed"][one]["before"] == 3


@pytest.mark.parametrize(
    ("service", "rating", "words"),
    [
        ("favourites", 1, "takes like, dislike or none, and not 1"),
        ("favourites", "", "takes like, dislike or none"),
        ("stars", True, "takes a number of stars"),
        ("stars", 6, "takes 0 to 5 stars, and not 6"),
        ("stars", -1, "takes a number of stars"),
        ("stars", "3/10", "has 5 stars, and not 10"),
        ("stars", "3.5", "takes a number of stars"),
        ("one to three", 0, "takes 1 to 3 stars, and not 0"),
        ("seen", "3/5", "takes a number from 0 on"),
        ("seen", None, "takes a number from 0 on"),
        ("my tags", 3, "files cannot be rated in it"),
        ("star", 3, "did you mean 'stars'"),
    ],
)
async def test_what_the_service_does_not_have_is_found_before_and_at_run_time(
    stage, tmp_path, service, rating, words
):
    async with editing(stage, tmp_path) as at:
        action = SetRating(service=service, rating=rating)
        (fault,) = action.preflight(at.client)
        assert words in fault.message
        (one,) = await at.add()
        (outcome,) = await at.run(action, [one])
        assert (outcome.kind, at.written) == (DEAD, 0)
        assert words in outcome.detail
        (foreseen,) = await at.plan(action, [one])
        assert not foreseen.changes


async def test_templates_are_judged_when_they_are_known(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        assert list(SetRating(service="stars", rating="{{ x }}").preflight(at.client)) == []
        assert list(SetRating(service="{{ x }}", rating=9).preflight(at.client)) == []


async def test_an_old_client_has_no_ratings(stage, tmp_path):
    async with editing(stage, tmp_path, api_version=32) as at:
        faults = SetRating(service="favourites", rating="like").preflight(at.client)
        assert "needs Client API ≥ 48" in next(iter(faults)).message


async def test_a_key_that_may_not_look_rates_all_the_same_and_claims_nothing(stage, tmp_path):
    async with editing(stage, tmp_path, basic={1, 9}) as at:
        (one,) = await at.add()
        (outcome,) = await at.run(SetRating(service="stars", rating=2), [one])
        assert (outcome.kind, outcome.receipt, at.written) == (DONE, None, 1)


async def test_a_rating_that_a_crash_lost_is_given_again(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        at.simulator.commit()
        action = SetRating(service="stars", rating=2)
        await at.run(action, [one])
        at.simulator.crash()
        await at.client.connect()
        assert await at.lost(action, [one]) == [0]
        (outcome,) = await at.run(action, [one])
        assert outcome.kind is DONE
        assert (await at.row(one)).ratings[STARS] == 2


def test_a_fraction_of_a_star_is_no_rating():
    with pytest.raises(ValidationError):
        SetRating(service="stars", rating=3.5)


RULES = """
rules:
  - name: rate
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - set_rating: {service: favourites, rating: RATING}
"""


def test_a_rating_comes_from_a_template(project):
    text = RULES.replace("RATING", "\"{{ 'like' if file.suffix == '.png' else file.stem }}\"")
    made = project({"rules.yaml": text}).drop("inbox/a.png").drop("inbox/best.jpg").run()
    assert made.job("inbox/a.png").state is JobState.DONE
    assert made.job("inbox/a.png").steps[1].detail == "rated like"
    (dead,) = made.dead_letters
    assert "takes like, dislike or none, and not 'best'" in dead.detail


def test_a_rating_that_cannot_be_stops_the_start(project):
    made = project({"rules.yaml": RULES.replace("RATING", "3"), "inbox/.keep": ""})
    with pytest.raises(ConfigError, match="takes like, dislike or none, and not 3"):
        made.run()
