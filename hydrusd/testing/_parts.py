"""What a plugin brings beside actions and triggers, tried on all that may come its way.

Filters, readers of sidecars, commands and observers work on what others have written: names of
files, half a sidecar, a notice of anything that can happen. None of it may make them hang, fail
in words that nobody understands, or answer differently the second time. So they are called as
hydrusd calls them, on samples that the example gives and on what is usually forgotten.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import random
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from hydrusd.daemon import Configuration
from hydrusd.errors import ExpressionError
from hydrusd.expressions import Expressions, filters_told, plain
from hydrusd.model import ConditionChange, FinishedJob, JobId, JobsMade, JobState
from hydrusd.plugin import Command, MalformedSidecar, SidecarData, SidecarFormat
from hydrusd.plugin.host import FOLDER, PACKAGE, PluginHost
from hydrusd.plugin.observing import Observer

PATIENCE_SECONDS = 5.0
"""How long one call may take: a thousand times what it should."""
LONGEST_REASON = 500
"""Characters in which it must be possible to say what is wrong with a sidecar."""

_MOST_CUTS = 40
_FLIPS = 40
_LARGEST_SIDECAR = 1024 * 1024
_DEEPEST = 30
_WRONG_OPTION = "--no-such-option"
_USAGE = 2
_FITTING = (TypeError, ValueError, ExpressionError)
"""What a filter may raise where a value is not for it."""

T = TypeVar("T")

Samples = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Parts:
    """All parts that can be tried without a rule, of one configuration.

    ``filters`` are samples for filters (each a list of arguments), ``sidecars`` for readers.
    """

    configuration: Configuration
    filters: Samples
    sidecars: Samples

    @property
    def strangers(self) -> list[str]:
        """The names of those that plugins of other people bring."""
        names: list[str] = []
        for plugin in self._host.plugins:
            if plugin.kind in {FOLDER, PACKAGE}:
                names += [*plugin.filters, *plugin.sidecar_formats, *plugin.commands]
                names += [plugin.name] if self._observers(plugin.name) else []
        return list(dict.fromkeys(names))

    def has(self, name: str) -> bool:
        """Say whether there is any such part."""
        host = self._host
        known = (host.filters, filters_told(), host.sidecar_formats, host.commands)
        return any(name in each for each in known) or bool(self._observers(name))

    def broken(self, name: str) -> Iterator[tuple[str, str]]:
        """Try all parts of a name; give what was wrong: the name of the promise, and what."""
        host = self._host
        if name in host.filters or name in filters_told():
            for wrong in _wrong_with_filter(name, host.filters, self.filters.get(name, ())):
                yield "FILTER", wrong
        if name in host.sidecar_formats:
            samples = self.sidecars.get(name, ())
            for wrong in _wrong_with_reader(host.sidecar_formats[name], samples):
                yield "SIDECAR", wrong
        if name in host.commands:
            for wrong in _wrong_with_command(host.commands[name]):
                yield "COMMAND", wrong
        for hook, observer in self._observers(name):
            for wrong in _wrong_with_observer(hook, observer):
                yield "NOTICE", wrong

    @property
    def _host(self) -> PluginHost:
        return self.configuration.host

    def _observers(self, plugin: str) -> list[tuple[str, Observer]]:
        found = self._host.observers.items()
        return [(hook, each) for hook, some in found for each in some if each.plugin == plugin]


# --- filters ---------------------------------------------------------------------------------

_VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 3.5, 10**30),
    *("", "owl", "  Big  OWL\n", "ünïcode \U0001d518 \u202e", "a" * 30 + "!", "\udc80"),
    "a" * 50_000,
    *([], ["owl", 1, None], ["owl"] * 5_000),
    *({}, {"name": "owl", "sizes": [1, 2]}),
)


def _deep() -> object:
    made: object = "owl"
    for _ in range(_DEEPEST):
        made = [made]
    return made


def _wrong_with_filter(
    name: str, filters: Mapping[str, Callable[..., object]], samples: Sequence[Sequence[object]]
) -> Iterator[str]:
    own = filters.get(name)
    needed = _needed(own) if own is not None else 0
    if own is not None and needed > 1 and not samples:
        raise ValueError(
            f"the filter {name!r} needs {needed} arguments, and the example gives none: "
            f"Example(filters={{{name!r}: [(value, …)]}})"
        )
    expressions = Expressions(filters={} if own is None else {name: _plain_only(own)})
    for sample in samples:
        refused = yield from _tried(name, expressions, sample)
        if refused:
            yield f"given {_short(sample)}, a sample of the example, it refuses: {refused}"
    more = samples[0][1:] if samples else ()
    for value in (*_VALUES, _deep()):
        yield from _tried(name, expressions, [value, *more])


class _NotPlain(Exception):
    """A filter gives what no expression may see."""


def _plain_only(function: Callable[..., object]) -> Callable[..., object]:
    def call(*values: object, **named: object) -> object:
        result = function(*values, **named)
        try:
            return plain({"it": result})["it"]
        except ExpressionError as error:
            raise _NotPlain(str(error)) from error

    return call


def _needed(function: Callable[..., object]) -> int:
    """Count the arguments without which a filter cannot be called, the value included."""
    by_place = {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 1  # written in C, and not telling
    return sum(p.default is inspect.Parameter.empty and p.kind in by_place for p in parameters)


def _tried(
    name: str, expressions: Expressions, given: Sequence[object]
) -> Generator[str, None, str]:
    """Call a filter twice as a rule does; tell what was wrong, and return why it refused."""
    names = [f"v{number}" for number in range(len(given))]
    more = f"({', '.join(names[1:])})" if len(names) > 1 else ""
    text = f"{{{{ [{names[0]} | {name}{more}, {', '.join(names)}] }}}}"
    result = expressions.result(text)
    assert result is not None
    world = _surroundings()
    told: list[object] = []
    for _ in range(2):
        data = plain(dict(zip(names, copy.deepcopy(list(given)), strict=True)))
        try:
            found = cast("list[object]", _in_time(partial(result.evaluate, data)))
        except _Hangs:
            yield f"given {_short(given)}, it did not come back within {PATIENCE_SECONDS:g} s"
            return ""
        except ExpressionError as error:
            cause = error.__cause__
            if isinstance(cause, _NotPlain):
                yield f"given {_short(given)}, what it gives cannot be used: {cause}"
            elif cause is not None and (not isinstance(cause, _FITTING) or not str(cause)):
                yield (
                    f"given {_short(given)}, it raises {type(cause).__name__}: {cause}. Whoever "
                    "wrote the rule reads this: raise TypeError or ValueError, and say what is "
                    "wanted"
                )
            return str(error)
        told.append(found[0])
        if found[1:] != list(given):
            yield f"it changes what it is given: {_short(given)} became {_short(found[1:])}"
            return ""
    if _as_json(told[0]) != _as_json(told[1]):
        yield f"given {_short(given)} twice, it gives {_short(told[0])} and {_short(told[1])}"
    if _surroundings() != world:
        yield "it changes the environment, or the folder that hydrusd works in"
    return ""


def _surroundings() -> object:
    return dict(os.environ), Path.cwd()


# --- sidecars --------------------------------------------------------------------------------


def _wrong_with_reader(reader: SidecarFormat, samples: Sequence[bytes]) -> Iterator[str]:
    for sample in samples:
        if wrong := [*_read_twice(reader, sample)]:
            yield from wrong
            continue
        try:
            meaning = _meaning(reader.read(sample))
        except MalformedSidecar as error:
            yield f"a sample of the example is refused: {error}"
            continue
        other = _reordered(sample)
        if other is not None and _meaning(reader.read(other)) != meaning:
            yield "the order of the keys in the JSON makes a difference"
    for content in _contents(samples):
        yield from _read_twice(reader, content)


def _contents(samples: Sequence[bytes]) -> Iterator[bytes]:
    """Give what may lie there under the name of a sidecar: half a one, another thing altogether."""
    yield from (b"", b"\n", b"\x00" * 100, b"\xff\xfe", b"\xfe\xff\x00", b"\xef\xbb\xbf", b"\x80")
    yield from (b"{", b"[]", b"null", b"1e999", b'"owl"', b'{"a": NaN}', b"[" * 100_000)
    yield from (b"{}", b'{"tags": 1}', b'{"tags": {"a": {"b": []}}}', b'{"url": ["\\ud800", {}]}')
    yield from (b'{"a": ' * 50_000, b"9" * 10_000, b"owl\n" * (_LARGEST_SIDECAR // 4))
    chance = random.Random(7)  # noqa: S311 - no secret, and the same each time
    yield chance.randbytes(4096)
    for sample in samples:
        step = max(1, len(sample) // _MOST_CUTS)
        yield from (sample[:end] for end in range(0, len(sample), step))
        for _ in range(_FLIPS if sample else 0):
            flipped = bytearray(sample)
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            yield bytes(flipped)


def _read_twice(reader: SidecarFormat, content: bytes) -> Iterator[str]:
    ended: list[object] = []
    for _ in range(2):
        try:
            said = _in_time(partial(reader.read, content))
        except _Hangs:
            yield f"given {_short(content)}, it did not come back within {PATIENCE_SECONDS:g} s"
            return
        except MalformedSidecar as error:
            ended.append(str(error))
            if not 0 < len(str(error)) <= LONGEST_REASON:
                yield f"given {_short(content)}, it does not say in a line or two what is wrong"
                return
        except BaseException as error:  # noqa: BLE001 - this is what is looked for
            yield f"given {_short(content)}, it raises {type(error).__name__}: {error}"
            return
        else:
            if wrong := _ill_formed(said):
                yield f"given {_short(content)}, {wrong}"
                return
            ended.append(_meaning(said))
    if ended[0] != ended[1]:
        yield f"given {_short(content)} twice, it does not say the same"


def _ill_formed(said: object) -> str:
    """Say why this is not what a reader gives; nothing where it is."""
    if not isinstance(said, SidecarData):
        return f"it gives {type(said).__name__}, no SidecarData"
    tags = [*said.tags, *(tag for some in said.services.values() for tag in some)]
    if not all(isinstance(tag, str) and tag.strip() for tag in [*tags, *said.services]):
        return "it gives a tag that is empty, or no text"
    if not all(isinstance(url, str) and urlsplit(url).scheme for url in said.urls):
        return "it gives a URL that is none"
    notes = [*said.notes, *said.notes.values()]
    if not all(isinstance(text, str) and text.strip() for text in notes):
        return "it gives a note without a name or a text"
    digits = set("0123456789abcdef")
    if said.sha256 is not None and (len(said.sha256) != 64 or not digits.issuperset(said.sha256)):
        return "the sha256 that it gives is none"
    try:
        _meaning(said)
    except (TypeError, ValueError, RecursionError) as error:
        return f"what it gives cannot be kept as JSON: {error}"
    return ""


def _meaning(said: SidecarData) -> str:
    tags = {name: sorted(some) for name, some in said.services.items()}
    rest = replace(said, tags=sorted(said.tags), services=tags, urls=sorted(said.urls))
    parts = {name: getattr(rest, name) for name in SidecarData.__slots__}
    return json.dumps(parts, sort_keys=True)


def _reordered(sample: bytes) -> bytes | None:
    """Give a sample in JSON with its keys the other way round; None for any other."""
    try:
        whole = json.loads(sample)
    except ValueError:
        return None
    return json.dumps(_turned(whole)).encode()


def _turned(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _turned(inner) for key, inner in reversed(list(value.items()))}
    return [_turned(inner) for inner in value] if isinstance(value, list) else value


# --- commands --------------------------------------------------------------------------------


def _wrong_with_command(command: Command) -> Iterator[str]:
    name = f"hydrusd {command.name}"
    code, told = _ended(command, "--help")
    if code != 0:
        yield f"`{name} --help` ends with {code}: {_short(told)}"
    elif not (command.help or "").strip():
        yield f"`{name} --help` does not say what it does: give it a docstring"
    code, told = _ended(command, _WRONG_OPTION)
    if code != _USAGE or _WRONG_OPTION not in told:
        yield f"`{name} {_WRONG_OPTION}` is not refused as a wrong option (it ends with {code!r})"


def _ended(command: Command, argument: str) -> tuple[object, str]:
    """Call a command as its own program; give how it ended, and what it printed."""
    out = StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            cast("Any", command).main([argument], prog_name=f"hydrusd {command.name}")
        except SystemExit as end:
            return end.code or 0, out.getvalue()
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            return type(error).__name__, str(error)
    return 0, out.getvalue()


# --- notices ---------------------------------------------------------------------------------

_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_FILE: Mapping[str, object] = {"file": {"path": "/inbox/\udc80.png", "name": "\udc80.png"}}


def _notices(hook: str) -> Iterator[Mapping[str, object]]:
    """Give notices of every kind."""
    match hook:
        case "hydrusd_started":
            yield {"rules": ["import"], "clients": ["hydrus"]}
            yield {"rules": [], "clients": []}
        case "hydrusd_jobs_made":
            for run_id in (None, 7):
                yield {"entry": JobsMade("import", "watch_folder", run_id, 3, _AT)}
        case "hydrusd_job_finished":
            for state in (JobState.DONE, JobState.SKIPPED, JobState.DEAD):
                whole = FinishedJob(JobId(1), "import", state, "", _FILE, "ab" * 32, _AT, 7)
                yield {"entry": whole}
                yield {"entry": replace(whole, data={}, file_hash=None, run_id=None)}
        case "hydrusd_condition_changed":
            conditions = {"client": "connected", "rule": "parked", "trigger": "waiting"}
            for kind, condition in conditions.items():
                yield {"entry": ConditionChange(kind, "import", condition, "why", _AT)}
        case _:
            yield {}


def _wrong_with_observer(hook: str, observer: Observer) -> Iterator[str]:
    for named in _notices(hook):
        for _ in range(2):
            try:
                wrong = _in_time(partial(observer.told, named))
            except _Hangs:
                wrong = f"it did not come back within {PATIENCE_SECONDS:g} s"
            if wrong:
                yield f"{hook}: told of {_short(dict(named))}, {wrong}"
                return


# --- calling ---------------------------------------------------------------------------------


class _Hangs(Exception):
    """Something does not come back."""


def _in_time(work: Callable[[], T]) -> T:
    """Do it in a thread, which is left behind if it does not come back. Raises ``_Hangs``."""
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=call, name="the contract", daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    if errors:
        raise errors[0]
    if not results:
        raise _Hangs
    return results[0]


def _as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
