"""Asks a tagger for tags: any program that knows pictures, of your own choice.

    allow: [ask_tagger]
    rules:
      - name: tag by looking
        on:
          watch_folder: {path: ~/Pictures/inbox}
        do:
          - add_file:
          - ask_tagger: {command: [python3, tagger.py]}
          - add_tags: {my tags: "{{ steps.ask_tagger.tags }}"}

A model that looks at pictures weighs gigabytes, wants a certain version of everything, and dies
of a broken picture now and then. So it is no part of hydrusd, but a program that is started for a
set of files, told their paths, and over when it has answered: what it has taken, memory and all,
is given back. The contract is a line of JSON for each file, in both directions:

    {"path": "/pictures/a.png"}
    {"path": "/pictures/a.png", "tags": {"general": {"sky": 0.98}, "rating": {"safe": 0.9}}}

or `{"path": …, "error": "it is broken"}` for a file that it can say nothing about. Lines that do
not begin with `{` are passed over, because libraries like to greet. Told of no file at all it has
nothing to do, and ends with 0: so hydrusd finds out whether a file was too much for it, or
whether it works at all.
"""

from __future__ import annotations

import json
import mimetypes
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, ClassVar

from anyio import to_thread
from pydantic import Field, field_validator

from hydrusd.plugin import (
    AccessDenied,
    AnyAction,
    BesideAction,
    Call,
    Duration,
    Fault,
    FolderPath,
    Foreseen,
    HydrusFailed,
    HydrusUnavailable,
    JobId,
    Outcome,
    PermanentError,
    PermissionMissing,
    ProgramEnd,
    RequestRejected,
    SourceState,
    TemporaryError,
    Texts,
    find_program,
    hookimpl,
    redact,
    run_program,
    source_outcome,
)

MOST_ANSWER_BYTES = 64 * 1024 * 1024
LONGEST_TAG = 500
TOLD_CHARACTERS = 200

_THRESHOLDS = {"general": 0.35, "character": 0.75, "rating": 0.5}
_NAMESPACES = {"general": "", "copyright": "series", "artist": "creator"}
_ONE_ONLY = ("rating",)
_WORD = re.compile(r"[^\W_]{2}")  # a tag without any is a face: ^_^
_TEMPLATE = re.compile(r"\{\{|\{%")

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class AskTagger(BesideAction):
    """Ask a program what is on the file, and give what it is sure enough of as tags.

    The program is started for up to `at_once` files, gets a line of JSON for each, and answers
    with one. It only finds out: `add_tags` puts `steps.ask_tagger.tags` to use. Files that were
    noticed are looked at where they are; others are fetched from Hydrus for it.

    A program that does not work has its rule wait, and no other. A file that kills it is tried
    again, and then is a dead letter.

    Later steps see `steps.ask_tagger.tags`, and `.found`: by kind, each tag as the program calls
    it with its confidence.
    """

    action: ClassVar[str] = "ask_tagger"
    needs_allowing: ClassVar[bool] = True
    no_undo: ClassVar[str] = "it only asks"
    at_once: ClassVar[int] = 1  # one of them fills a graphics card

    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="The program and its arguments; no templates, no shell."
    )
    folder: FolderPath = Field(
        default=".",
        validate_default=True,
        description="The folder to run it in; relative paths start at the rules file's folder.",
    )
    thresholds: dict[str, Share] = Field(
        default=_THRESHOLDS,
        description="How sure it must be, by kind of tag; kinds that are not named are left out.",
    )
    namespaces: dict[str, str] = Field(
        default={},
        description=(
            "What to call the kinds in Hydrus. Without: `general` has no namespace, `copyright` "
            "is `series`, `artist` is `creator`, others are called as they are."
        ),
    )
    one_only: Texts = Field(
        default=_ONE_ONLY, description="Kinds of which only the surest tag counts."
    )
    rename: dict[str, str] = Field(
        default={}, description="Tags, as the program calls them, that are to be called otherwise."
    )
    exclude: Texts = Field(
        default=(),
        description="Tags, as the program calls them, to leave out; `*` stands for anything.",
    )
    most_files: int = Field(
        default=64, ge=1, le=256, description="How many files it is told of when it is started."
    )
    timeout: Duration = Field(
        default=600.0, gt=0, description="How long it may take for them; then it is stopped."
    )

    @field_validator("command")
    @classmethod
    def _stands_in_the_rules(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0].strip() or any(_TEMPLATE.search(text) for text in command):
            raise ValueError("must not hold a template: the files are told to it, line by line")
        return command

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name a program that is not there."""
        del rules
        if find_program(self.command[0], self.folder) is None:
            yield Fault(
                f"there is no program {self.command[0]!r} that could be run",
                "give its whole path, or put it where PATH leads",
                ("command", 0),
                "warning",
            )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say that it would be asked: it may take minutes, and change who knows what."""
        plans = []
        for call in calls:
            assert isinstance(call.action, AskTagger)
            detail = f"would ask {call.action.command[0]} for tags"
            plans.append(Foreseen(detail, changes=False))
        return plans

    @classmethod
    def groups(cls, calls: Sequence[Call[Any]]) -> Sequence[Sequence[Call[Any]]]:
        """Give the sets that one start of the program is for."""
        alike: dict[tuple[object, ...], list[list[Call[Any]]]] = {}
        for call in calls:
            action = call.action
            assert isinstance(action, AskTagger)
            key = (action.command, action.folder, action.timeout, action.most_files)
            sets = alike.setdefault(key, [[]])
            if len(sets[-1]) >= action.most_files:
                sets.append([])
            sets[-1].append(call)
        return [group for sets in alike.values() for group in sets]

    @classmethod
    async def perform(cls, calls: Sequence[Call[Any]]) -> Mapping[JobId, Outcome]:
        """Ask about a set of files, and give the outcome of each."""
        first = calls[0].action
        assert isinstance(first, AskTagger)
        with tempfile.TemporaryDirectory(prefix="hydrusd-") as folder:
            outcomes: dict[JobId, Outcome] = {}
            paths: dict[JobId, str] = {}
            for call in calls:
                placed = await _placed(call, Path(folder))
                if isinstance(placed, Outcome):
                    outcomes[call.job_id] = placed
                else:
                    paths[call.job_id] = str(placed)
            if not paths:
                return outcomes
            try:
                end = await first._told(paths.values())  # noqa: SLF001 - its own
                answers = _answers(end)
                asked = [call for call in calls if call.job_id in paths]
                unanswered = [call for call in asked if paths[call.job_id] not in answers]
                if unanswered and not answers:
                    alive = await first._told(())  # noqa: SLF001 - its own
                    if alive.exit_code != 0:
                        raise PermanentError(alive.story)
            except (PermanentError, TemporaryError) as error:
                waits = Outcome.park_rule(f"the tagger does not work: {error}")
                return outcomes | dict.fromkeys(paths, waits)
        for call in asked:
            if (answer := answers.get(paths[call.job_id])) is not None:
                assert isinstance(call.action, AskTagger)
                outcomes[call.job_id] = call.action._judged(answer)  # noqa: SLF001 - its own
        return outcomes | _without_answer(unanswered, end)

    async def _told(self, paths: Iterable[str]) -> ProgramEnd:
        lines = "".join(f"{json.dumps({'path': path})}\n" for path in paths)
        return await run_program(
            self.command,
            folder=self.folder,
            timeout_seconds=self.timeout,
            stdin=lines.encode(),
            most_bytes=MOST_ANSWER_BYTES,
        )

    def _judged(self, answer: Mapping[str, Any]) -> Outcome:
        if "error" in answer:
            said = redact(str(answer["error"]))[:TOLD_CHARACTERS]
            return Outcome.dead(f"the tagger can say nothing about it: {said}")
        kinds = answer.get("tags")
        if not isinstance(kinds, Mapping) or not all(map(_is_tags, kinds.values())):
            return Outcome.dead(
                'the tagger answered otherwise than {"path": …, "tags": {kind: {tag: confidence}}}'
            )
        found = {
            kind: taken
            for kind, least in self.thresholds.items()
            if (taken := self._taken(kind, least, kinds.get(kind, {})))
        }
        tags = [self._called(kind, tag) for kind, taken in found.items() for tag in taken]
        tags = list(dict.fromkeys(tags))
        return Outcome.done(f"{len(tags)} tags", values={"tags": tags, "found": found})

    def _taken(self, kind: str, least: float, tags: Mapping[str, float]) -> dict[str, float]:
        """Give the tags of a kind that count, the surest first."""
        sure = [
            (tag, confidence)
            for tag, confidence in sorted(tags.items(), key=lambda pair: -pair[1])
            if confidence >= least
            and 0 < len(tag.strip()) <= LONGEST_TAG
            and not any(fnmatchcase(tag, pattern) for pattern in self.exclude)
        ]
        return dict(sure[:1] if kind in self.one_only else sure)

    def _called(self, kind: str, tag: str) -> str:
        if tag in self.rename:
            return self.rename[tag]
        namespace = {**_NAMESPACES, **self.namespaces}.get(kind, kind)
        words = tag.replace("_", " ") if _WORD.search(tag) else tag
        return f"{namespace}:{words}" if namespace else words


async def _placed(call: Call[Any], folder: Path) -> Path | Outcome:
    """Give where the file is to be looked at; or the outcome, where it is nowhere."""
    if call.source is not None:
        state = await to_thread.run_sync(call.source.state)
        if state is SourceState.SAME:
            return call.source.path
        if not call.file_hashes:
            return source_outcome(state, call.source) or Outcome.retry("the file has changed")
    if call.file_hash is None:
        return Outcome.dead("the tagger has no file to look at: put add_file before it")
    path = folder / call.file_hash
    try:
        saved = await call.client.save_file(call.file_hash, path)
    except (HydrusUnavailable, AccessDenied) as error:
        return Outcome.park(str(error))
    except PermissionMissing as error:
        return Outcome.park_rule(str(error))
    except (HydrusFailed, OSError) as error:
        return Outcome.retry(str(error))
    except RequestRejected as error:
        return Outcome.dead(str(error))
    suffix = mimetypes.guess_extension(saved.content_type.partition(";")[0].strip()) or ""
    return path.rename(path.with_suffix(suffix))


def _answers(end: ProgramEnd) -> dict[str, Mapping[str, Any]]:
    """Give what was answered, by path. A line that was cut, by a kill or by us, is none."""
    answers: dict[str, Mapping[str, Any]] = {}
    for line in end.stdout.split(b"\n"):
        if not line.lstrip().startswith(b"{"):
            continue
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, Mapping) and isinstance(answer.get("path"), str):
            answers[answer["path"]] = answer
    return answers


def _without_answer(calls: Sequence[Call[Any]], end: ProgramEnd) -> dict[JobId, Outcome]:
    """Give the outcomes of those that were left: it was busy with the first of them."""
    if end.exit_code == 0:
        return {call.job_id: Outcome.retry("the tagger did not answer") for call in calls}
    blamed = f"the tagger ended while it looked at this file: {end.story}"
    others = "the tagger ended before its turn"
    return {
        call.job_id: Outcome.later(others, delay_seconds=1.0, values=call.progress)
        if number
        else Outcome.retry(blamed)
        for number, call in enumerate(calls)
    }


def _is_tags(tags: object) -> bool:
    return isinstance(tags, Mapping) and all(
        isinstance(c, int | float) and not isinstance(c, bool) for c in tags.values()
    )


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(AskTagger)
