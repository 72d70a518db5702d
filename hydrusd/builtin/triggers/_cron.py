"""Reads a cron line, and says in which of its fields something is wrong.

The grammar is cron's own, read here and not by the library that calculates with it: that
one counts weekdays from Monday, so that `0 3 * * 1` would fire on Tuesdays. It also takes
longer to import than most commands take to run, and reading rules is part of them all.
"""

from __future__ import annotations

from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class CronLine:
    """The times that a cron line names. ``weekdays`` count from Sunday, 0 to 6.

    ``either_day``: a day need only be one of ``days`` *or* of ``weekdays``, as cron has it
    where both were restricted; otherwise it must be one of both.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def read(self, text: str) -> frozenset[int]:
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> range:
        body, stepped, step_text = text.partition("/")
        step = self._step(text, step_text) if stepped else 1
        if body == "*":
            return range(self.first, self.last + 1, step)
        first_text, ranged, last_text = body.partition("-")
        first = self._value(first_text)
        if not ranged:
            if stepped:
                raise self._wrong(text, f"has no end; write {body}-{self.last}/{step_text}")
            return range(first, first + 1)
        last = self._value(last_text)
        if self.names is _WEEKDAYS and last == 0 < first:
            last = 7  # fri-sun
        if last < first:
            raise self._wrong(text, f"ends before it begins; write {first}-{self.last},…")
        return range(first, last + 1, step)

    def _value(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + (self.first if self.names is _MONTHS else 0)
        if not (text.isascii() and text.isdigit()):
            raise self._wrong(text, self._no_value(text))
        most = 7 if self.names is _WEEKDAYS else self.last
        if not self.first <= int(text[:9]) <= most:
            raise self._wrong(text, f"is not between {self.first} and {most}")
        return int(text)

    def _no_value(self, text: str) -> str:
        if not text:
            return "is empty"
        if text[:3] in self.names:
            return f"is no name; did you mean '{text[:3]}'?"
        if text == "?":
            return "means nothing to cron; write *"
        if self.names:
            return f"is neither a number nor a name such as {self.names[1]}"
        return "is not a number"

    def _step(self, text: str, step: str) -> int:
        if not (step.isascii() and step.isdigit() and int(step[:9])):
            raise self._wrong(text, "needs a number above 0 after the '/'")
        if int(step[:9]) > self.last - self.first:
            raise self._wrong(
                text, "has too large a step: each field begins anew; for intervals use 'every'"
            )
        return int(step)

    def _wrong(self, text: str, reason: str) -> ValueError:
        return ValueError(f"the {self.name} '{text[:40]}' {reason}")


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 6, _WEEKDAYS),
)


def read_cron(text: str) -> CronLine:
    """Give the times that the line names. Raises ValueError with what is wrong, and where."""
    line = text.strip().lower()
    if line.startswith("@"):
        line = _alias(line)
    parts = line.split()
    if len(parts) != len(_FIELDS):
        hint = " (there is none for seconds: use 'every')" if len(parts) == 6 else ""
        raise ValueError(
            f"{len(parts)} fields instead of five{hint}: "
            "minute, hour, day of the month, month and weekday, as in 30 3 * * mon"
        )
    minutes, hours, days, months, weekdays = (
        field.read(part) for field, part in zip(_FIELDS, parts, strict=True)
    )
    # As cron has it: a field that begins with a star does not restrict the day.
    either_day = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either_day and min(days) > max(_LONGEST[month - 1] for month in months):
        raise ValueError(f"the day of the month '{parts[2]}' is in none of the months '{parts[3]}'")
    return CronLine(
        minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either_day
    )


def _alias(name: str) -> str:
    if name == "@reboot":
        raise ValueError("'@reboot' is no time; use the trigger 'startup'")
    if name not in ALIASES:
        raise ValueError(f"there is no '{name[:40]}'; there are {', '.join(ALIASES)}")
    return ALIASES[name]
