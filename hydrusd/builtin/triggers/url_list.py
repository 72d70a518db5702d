"""The trigger that notices URLs in lists.

What a URL is to the client, only the client can say, so a URL is asked about before it is
handed over, and handed over by the client's form of it. Three things keep 100,000 lines from
becoming 100,000 questions: lines seen in this run are known by a short digest, those handed
over under the form in which they are written are known to the ledger, and the client's other
answers are remembered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from anyio import CapacityLimiter, to_thread
from pydantic import Field

from hydrusd.builtin.triggers._asking import Asking
from hydrusd.builtin.triggers._globs import Selection
from hydrusd.builtin.triggers._list_files import ListFile
from hydrusd.builtin.triggers._looking import FolderAway, Looker
from hydrusd.builtin.triggers._normal_forms import NormalForms
from hydrusd.builtin.triggers._url_lines import BadLine, UrlLine
from hydrusd.builtin.triggers.watch_folder import Glob
from hydrusd.plugin import (
    Duration,
    Event,
    FilePath,
    HydrusFailed,
    HydrusUnavailable,
    PermissionMissing,
    Prospect,
    RequestRejected,
    Trigger,
    TriggerContext,
)

BATCH = 250
"""How many lines are asked about and handed over at once."""
MOST_TOLD = 10
"""How many bad lines of a list are named."""
AWAY_SECONDS = 10.0
"""How long to wait before a client that is away is asked again."""

T = TypeVar("T")


class UrlList(Trigger):
    """Notice each URL in a file with a list of them, or in a folder of such files, once.

    A line has one URL, and behind it, if you like, tags with commas between them. What
    follows a `#` at the beginning of a line or behind a space is a comment; a `#` within a
    URL belongs to it. Lists are UTF-8 text; a line that makes no sense is named in the log.

    A line counts as soon as its line break is there, however it comes: written at the end,
    or with a list that is new. A last line without a line break, and a list that was
    rewritten, wait until the file has not changed for `settle`.

    URLs that are the same to Hydrus are noticed once, with the tags of the first line.
    Without the permission "import and edit urls", Hydrus cannot be asked: then only those
    are the same that are written alike. Taking a line out of a list undoes nothing.

    Conditions and templates see `url` (as written), `normalised` (as Hydrus knows it),
    `tags` (a list), `list.path`, `list.name` and `line` (its number).
    """

    trigger: ClassVar[str] = "url_list"
    in_portions: ClassVar[bool] = True
    gives: ClassVar[Mapping[str, Any] | None] = {
        "url": None,
        "normalised": None,
        "tags": None,
        "list": {"path": None, "name": None},
        "line": None,
    }

    path: FilePath = Field(description="The list, or a folder of lists.")
    include: tuple[Glob, ...] = Field(
        default=("*.txt",),
        min_length=1,
        description="Which files of a folder are lists: patterns, as in `watch_folder`.",
    )
    recursive: bool = Field(
        default=True, description="Whether to look for lists in the folders below, too."
    )
    look_every: Duration = Field(
        default=5.0,
        gt=0,
        description="How often to look whether lists have changed.",
        json_schema_extra={"default": "5s"},
    )
    settle: Duration = Field(
        default=5.0,
        gt=0,
        description="How long a list must be left alone where a line or the list may be half "
        "written.",
        json_schema_extra={"default": "5s"},
    )

    @property
    def patience(self) -> float:
        """Give what lists are left alone for, and how often they are looked at."""
        return self.settle + 2 * self.look_every

    async def preview(self, context: TriggerContext) -> Prospect:
        """Read the lists once; what is there is taken to be complete."""
        return await _Watch(self, context).foresee()

    async def run(self, context: TriggerContext) -> None:
        """Notice URLs until cancelled."""
        await _Watch(self, context).run()


class _Watch:
    """One run of the trigger. Forgets everything when it ends."""

    def __init__(self, trigger: UrlList, context: TriggerContext) -> None:
        self._context = context
        self._root = trigger.path
        self._look_every = trigger.look_every
        self._settle = trigger.settle
        selection = Selection(trigger.include, (), hidden=False)
        self._looker = Looker(trigger.path, selection, recursive=trigger.recursive)
        # A folder that hangs (a dead network mount) must not use up the threads of others.
        self._limiter = CapacityLimiter(1)
        self._forms = NormalForms(context)
        self._known_forms: dict[str, str] = {}  # remembered, but news to a rule
        self._dealt_with: set[bytes] = set()  # digests, as lists may be long
        self._files: dict[Path, ListFile] = {}
        self._unreadable: set[str] = set()
        self._bad: Counter[Path] = Counter()
        self._may_ask = True
        self._patient = True  # waits for a client that is away
        self._permission_told = False
        self._told = ""

    async def run(self) -> None:
        await self._recall()
        while True:
            self._may_ask = True  # a permission may have been given meanwhile
            try:
                due, unreadable = await self._in_thread(self._look)
            except FolderAway as away:
                self._tell(self._context.waiting, str(away))
            except OSError as error:
                self._tell(self._context.waiting, f"{self._root} cannot be read: {error.strerror}")
            else:
                self._tell(self._context.working, f"watching {self._root}")
                for path in unreadable:
                    self._tell_unreadable(path, "what is there is not noticed")
                for file in due:
                    await self._read(file)
            await self._context.clock.sleep(self._look_every)

    async def foresee(self) -> Prospect:
        self._settle, self._patient = 0.0, False
        await self._recall()
        asked = Asking(self._looker)
        try:
            due, unreadable = await asked(self._look)
        except FolderAway as away:
            return Prospect(detail=str(away))
        except OSError as error:
            return Prospect(detail=f"{self._root} cannot be read: {error.strerror}")
        news: dict[str, Event] = {}
        bad = 0
        for file in due:
            more = True
            while more:
                try:
                    piece = await asked(partial(file.read, 0.0))
                except FolderAway as away:
                    return Prospect(detail=str(away))
                except OSError:
                    unreadable.append(str(file.path))
                    break
                self._complain(file.path, piece.bad)
                bad += len(piece.bad)
                for lines in _batches(self._news(piece.lines)):
                    found, _ = await self._news_among(file.path, lines)
                    news |= {event.key: event for event in found if event.key not in news}
                more = piece.more
        counts = ((bad, "bad lines"), (len(unreadable), "that cannot be read"))
        words = [f"{len(due):,} lists, {len(news):,} new URLs"]
        words += [f"{number:,} {what}" for number, what in counts if number]
        return Prospect(list(news.values()), ", ".join(words))

    async def _recall(self) -> None:
        """Learn from what is remembered which URLs need not be asked about."""
        for forms in await self._forms.parts():
            for some in _batches(list(forms.items())):
                unseen = await self._unseen(form for _, form in some)
                for plain, form in some:
                    if form in unseen:
                        self._known_forms[plain] = form
                    else:
                        self._dealt_with.add(_digest(plain))

    # --- the lists -----------------------------------------------------------------------

    def _look(self) -> tuple[list[ListFile], list[str]]:
        """Give the lists that may have something new, and what cannot be looked at."""
        paths, unreadable = [self._root], []
        if not self._root.is_file():
            self._looker.identity()
            slices = list(self._looker.walk())
            paths = sorted(source.path for found in slices for source in found.sources)
            unreadable = [path for found in slices for path in found.unreadable]
        known = self._files
        self._files = {p: known.get(p) or ListFile(p, self._settle) for p in paths}
        self._unreadable.intersection_update({*map(str, paths), *unreadable})
        return [file for file in self._files.values() if file.is_due], unreadable

    async def _read(self, file: ListFile) -> None:
        more = True
        while more:
            read = partial(file.read, self._context.clock.monotonic())
            try:
                piece = await self._in_thread(read)
            except FileNotFoundError:
                return
            except OSError as error:
                self._tell_unreadable(str(file.path), error.strerror or str(error))
                return
            self._unreadable.discard(str(file.path))
            self._complain(file.path, piece.bad)
            for lines in _batches(self._news(piece.lines)):
                await self._take(file.path, lines)
            more = piece.more

    def _tell_unreadable(self, path: str, why: str) -> None:
        if path not in self._unreadable:
            self._unreadable.add(path)
            self._context.warn(f"{path} cannot be read: {why}")

    def _complain(self, path: Path, bad: Sequence[BadLine]) -> None:
        """Name bad lines, each once however often its list is rewritten."""
        for line in bad:
            mark = _digest(f"{path} {line.problem}")
            if mark in self._dealt_with:
                continue
            self._dealt_with.add(mark)
            self._bad[path] += 1
            if self._bad[path] <= MOST_TOLD:
                self._context.warn(f"{path}:{line.number}: {line.problem}")
            elif self._bad[path] == MOST_TOLD + 1:
                self._context.warn(f"{path}:{line.number}: one more of many; no others are named")

    # --- the URLs ------------------------------------------------------------------------

    def _news(self, lines: Sequence[UrlLine]) -> list[UrlLine]:
        first = {line.plain: line for line in reversed(lines)}
        return [
            line
            for line in lines
            if first[line.plain] is line and _digest(line.plain) not in self._dealt_with
        ]

    async def _take(self, path: Path, lines: Sequence[UrlLine]) -> None:
        """Hand over what is news of some lines."""
        news, forms = await self._news_among(path, lines)
        remember = self._forms.add(
            {plain: form for plain, form in forms.items() if plain not in self._known_forms}
        )
        if news or remember:
            await self._context.emit(news, remember=remember)
        self._dealt_with.update(_digest(line.plain) for line in lines)

    async def _news_among(
        self, path: Path, lines: Sequence[UrlLine]
    ) -> tuple[list[Event], dict[str, str]]:
        """Give what is news of some lines, and the forms of those that had to be asked about."""
        unseen = await self._unseen(line.plain for line in lines)
        forms: dict[str, str] = {}
        for line in lines:
            if line.plain in unseen:
                form = await self._form(path, line)
                if form is not None:
                    forms[line.plain] = form
        unseen = await self._unseen(forms.values())
        news: dict[str, Event] = {}
        for line in lines:
            form = forms.get(line.plain)
            if form in unseen and form not in news:
                news[form] = self._event(path, line, form)
        return list(news.values()), forms

    async def _form(self, path: Path, line: UrlLine) -> str | None:
        """Give the client's form of a URL; None where it is none to the client."""
        if line.plain in self._known_forms:
            return self._known_forms[line.plain]
        while self._may_ask:
            try:
                info = await self._context.client.get_url_info(line.url)
            except HydrusUnavailable as away:
                if not self._patient:
                    break
                self._tell(self._context.waiting, str(away))
                await self._context.clock.sleep(AWAY_SECONDS)
            except PermissionMissing as error:
                self._may_ask = False
                self._tell_of_permission(error)
            except RequestRejected as error:
                self._complain(path, [BadLine(line.number, f"is refused by Hydrus: {error}")])
                return None
            except HydrusFailed:
                break  # it stumbles over this one; the step that sends it will tell
            else:
                self._tell(self._context.working, f"watching {self._root}")
                return info.normalised_url
        return line.plain

    def _tell_of_permission(self, error: PermissionMissing) -> None:
        if not self._permission_told:
            self._permission_told = True
            self._context.warn(f"{error}; until then, URLs written differently count as different")

    def _event(self, path: Path, line: UrlLine, form: str) -> Event:
        data: Mapping[str, object] = {
            "url": line.url,
            "normalised": form,
            "tags": list(line.tags),
            "list": {"path": str(path), "name": path.name},
            "line": line.number,
        }
        return Event(self._key(form), data)

    async def _unseen(self, forms: Iterable[str]) -> set[str]:
        """Give those that are news to a rule."""
        keys = {self._key(form): form for form in forms}
        unseen = await self._context.unseen(list(keys)) if keys else set()
        return {keys[key] for key in unseen}

    def _key(self, form: str) -> str:
        return f"{json.dumps(str(self._root))}|{form}"

    # --- both ----------------------------------------------------------------------------

    def _tell(self, tell: Callable[[str], None], what: str) -> None:
        if what != self._told:
            self._told = what
            tell(what)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # These only look, so a cancelled one need not be waited for: it may never return.
        return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))
