"""How a rule says when it takes up its jobs; hours are those that the clock on the wall shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from hydrusd.errors import ConfigError
from hydrusd.rules import Hours, Mode, Span, parse

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Span(22 * 60, 6 * 60)


def at(text, zone=BERLIN, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


@pytest.fixture
def rule(vocabulary):
    def read(keys):
        text = f"""
client: {{url: 'http://127.0.0.1:1', access_key: {"ab" * 32}}}
rules:
  - name: one
    on: startup
    {keys}
    do: [add_file]
"""
        return parse(text, vocabulary, file="rules.yaml", environ={}).rules[0]

    return read


def test_what_is_not_said_holds_nothing_up(rule):
    pace = rule("enabled: true").pace
    assert (pace.mode, pace.hours, pace.holds) == (Mode.PARALLEL, None, False)


def test_all_of_it_is_read(rule):
    pace = rule(
        "{mode: queued, cooldown: 10m, priority: -7}".strip("{}").replace(", ", "\n    ")
        + '\n    allowed: {hours: ["22:00-6:00", "12:00-24:00"], days: [sat, Sunday], '
        + "time_zone: Europe/Berlin, client_idle: true}"
    ).pace
    assert (pace.mode, pace.cooldown_seconds, pace.priority) == (Mode.QUEUED, 600, -7)
    assert pace.client_idle
    assert pace.hours == Hours((NIGHT, Span(720, 1440)), frozenset({5, 6}), "Europe/Berlin")
    assert str(pace.hours) == "22:00-06:00, 12:00-24:00 on sat, sun (Europe/Berlin)"


def test_how_is_no_part_of_what(rule):
    """A file that was dealt with is dealt with, however patiently."""
    plain, patient = rule("enabled: true"), rule("cooldown: 1h\n    mode: single")
    assert plain.revision == patient.revision


def test_hours_that_exclude_nothing_are_none(rule):
    assert rule('allowed: {hours: "00:00-24:00"}').pace.hours is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("mode: sinlge", "rules.yaml:6:11: 'mode' must be one of 'single', 'queued', 'parallel' "),
        ("cooldown: 5", "rules.yaml:6:15: 'cooldown': 5 has no unit"),
        ("priority: 101", "rules.yaml:6:15: 'priority' must be at most 100, not 101"),
        ("priority: high", "rules.yaml:6:15: 'priority' must be a whole number, not 'high'"),
        ("allowed: night", "rules.yaml:6:14: 'allowed' must be a mapping"),
        ("allowed: {hours: 22-6}", "rules.yaml:6:22: 'allowed.hours' must be hours of the day"),
        ('allowed: {hours: "22:00-24:30"}', "6:22: 'allowed.hours' must be hours of the day"),
        ('allowed: {hours: "06:00-06:00"}', "6:22: 'allowed.hours' begins when it ends"),
        ("allowed: {days: [sat, sunn]}", "rules.yaml:6:27: 'allowed.days[2]' must be a weekday"),
        ("allowed: {days: []}", "rules.yaml:6:21: 'allowed.days' must not be empty"),
        (
            "allowed: {days: sat, time_zone: Europe/Berln}",
            "there is no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        ),
        ("allowed: {time_zone: UTC}", "6:14: 'allowed': 'time_zone' goes with 'hours' or 'days'"),
        ("allowed: {client_idle: maybe}", "'allowed.client_idle' must be true or false"),
        ("allowed: {hour: 1}", "rules.yaml:6:15: there is no 'hour' here"),
        ("limits: {per_minute: 0}", "'per_minute' must be at least 1, not 0"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(rule, keys, message):
    with pytest.raises(ConfigError) as caught:
        rule(keys)
    assert message in str(caught.value)


def test_a_night_belongs_to_the_day_on_which_it_begins():
    nights = Hours((NIGHT,), frozenset({5}), "Europe/Berlin")  # Saturday's
    assert not nights.are_now(at("2026-01-02T23:00"))
    assert not nights.are_now(at("2026-01-03T05:59"))
    assert nights.are_now(at("2026-01-03T22:00"))
    assert nights.are_now(at("2026-01-04T05:59:59"))
    assert not nights.are_now(at("2026-01-04T06:00"))
    assert nights.next(at("2026-01-04T06:00")) == at("2026-01-10T22:00")


def test_hours_that_the_clocks_skip_begin_when_they_skip_them():
    skipped = Hours((Span(150, 200),), zone="Europe/Berlin")  # 02:30 to 03:20
    assert skipped.next(at("2026-03-29T00:10")) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    wholly = Hours((Span(130, 150),), zone="Europe/Berlin")  # 02:10 to 02:30: not that day
    assert wholly.next(at("2026-03-29T00:10")) == at("2026-03-30T02:10")


def test_an_hour_that_the_clocks_show_twice_is_allowed_twice():
    hours = Hours((Span(130, 150),), zone="Europe/Berlin")
    first, second = at("2026-10-25T02:20"), at("2026-10-25T02:20", fold=1)
    assert (second.astimezone(UTC) - first.astimezone(UTC)) == timedelta(hours=1)
    assert hours.are_now(first)
    assert hours.are_now(second)
    between = first.astimezone(UTC) + timedelta(minutes=15)
    assert not hours.are_now(between)
    assert hours.next(between) == datetime(2026, 10, 25, 1, 10, tzinfo=UTC)


def test_the_night_is_an_hour_shorter_or_longer_where_clocks_change():
    night = Hours((NIGHT,), zone="Europe/Berlin")

    def minutes(day):
        noon = at(f"{day}T12:00").astimezone(UTC)
        return sum(night.are_now(noon + timedelta(minutes=n)) for n in range(24 * 60))

    assert [minutes(d) for d in ("2026-03-27", "2026-03-28", "2026-10-24")] == [480, 420, 540]


def test_without_a_zone_it_is_the_machines():
    local = datetime(2026, 5, 5, 12, 30).astimezone()
    assert Hours((Span(750, 751),)).are_now(local.astimezone(UTC))
    assert not Hours((Span(751, 752),)).are_now(local.astimezone(UTC))


@settings(deadline=None, max_examples=25)
@given(
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    zone=st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC"]),
    minute=st.integers(0, 2 * 366 * 1440),
)
def test_the_next_time_is_allowed_and_none_before_it_is(begin, length, days, zone, minute):
    end = (begin + length) % 1440
    hours = Hours((Span(begin, end or 1440),), days, zone)
    now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minute, seconds=30)
    found = hours.next(now)
    assert hours.are_now(found)
    assert found == now or found.second == 0
    steps = int((found - now).total_seconds() // 600)
    assert not any(hours.are_now(now + timedelta(minutes=10 * n)) for n in range(steps))
