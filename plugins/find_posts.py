"""Looks files up on image boards by their MD5, and gives the addresses of their posts.

    rules:
      - name: where is it from
        on:
          watch_folder: {path: ~/Pictures/inbox}
        do:
          - add_file:
          - find_posts: {boards: [danbooru, e621]}
          - associate_url: {add: "{{ steps.find_posts.urls }}"}
          - add_url: {url: "{{ steps.find_posts.url }}"}

Boards are other people's, run on donations, and quick to shut out who asks too much. So each is
asked for one file at a time, with a pause in between; one that is in trouble is left alone for
longer and longer; what it has answered about a file is kept with the job at once, so that it is
not asked again whatever happens next.

And they answer strangely. A search that is not understood is not refused: it gives the newest
posts. So a post counts only if it says of itself that it has the MD5 that was asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit
from weakref import WeakKeyDictionary

import anyio
from anyio import to_thread
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from hydrusd.plugin import (
    OR_ONE,
    AnyAction,
    Call,
    Clock,
    Duration,
    FileChangedError,
    FileSource,
    Foreseen,
    HashType,
    HttpReply,
    Outcome,
    PermanentError,
    SetAction,
    TemporaryError,
    TextOrSecret,
    fetch,
    hookimpl,
    revealed,
)

PIECE_BYTES = 1024 * 1024
MOST_ANSWER_BYTES = 1024 * 1024
FIRST_REST_SECONDS = 30.0
LONGEST_REST_SECONDS = 3600.0

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NOT_NOW = frozenset({408, 425, 429})
_REFUSED = frozenset({401, 403})

Like = Literal["danbooru", "gelbooru", "e621", "moebooru"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How boards of a kind are asked (``{md5}``), answer, and call their posts (``{id}``)."""

    ask: str
    page: str
    posts: str = ""
    id: str = "id"
    md5: str = "md5"


_KINDS: Mapping[str, _Kind] = {
    "danbooru": _Kind("/posts.json?tags=md5:{md5}&limit=1", "/posts/{id}"),
    "gelbooru": _Kind(
        "/index.php?page=dapi&s=post&q=index&json=1&limit=1&tags=md5:{md5}",
        "/index.php?page=post&s=view&id={id}",
        posts="post",
    ),
    "e621": _Kind(
        "/posts.json?tags=md5:{md5}&limit=1", "/posts/{id}", posts="posts", md5="file.md5"
    ),
    "moebooru": _Kind("/post.json?tags=md5:{md5}&limit=1", "/post/show/{id}"),
}
_KNOWN = {
    "danbooru": ("danbooru", "https://danbooru.donmai.us"),
    "gelbooru": ("gelbooru", "https://gelbooru.com"),
    "e621": ("e621", "https://e621.net"),
    "yande.re": ("moebooru", "https://yande.re"),
    "konachan": ("moebooru", "https://konachan.com"),
}


class Board(BaseModel):
    """A board that answers in JSON, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str = Field(description="Where it is: `https://board.example`.")
    like: Like | None = Field(default=None, description="Which board it is made like.")
    ask: str | None = Field(
        default=None, description="What to ask it for: `/search.json?md5={md5}`."
    )
    posts: str | None = Field(
        default=None,
        description="Where in its answer the posts are, or the post: `data.posts`; empty for all.",
    )
    id: str | None = Field(default=None, description="Where in a post its number is: `id`.")
    md5: str | None = Field(default=None, description="Where in a post its MD5 is: `file.md5`.")
    page: str | None = Field(default=None, description="The address of a post: `/posts/{id}`.")
    query: dict[str, TextOrSecret] = Field(
        default={}, description='More to ask with: `{api_key: {secret: "${env:KEY}"}}`.'
    )
    headers: dict[str, TextOrSecret] = Field(default={}, description="Headers to send.")

    @field_validator("site")
    @classmethod
    def _is_a_site(cls, text: str) -> str:
        try:
            parts = urlsplit(text)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            good = False
        if not good or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("is no site: write it as https://board.example")
        return text.rstrip("/")

    @field_validator("ask", "page")
    @classmethod
    def _begins_at_the_root(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith("/"):
            raise ValueError("must begin with /: it follows after `site`")
        return text

    @model_validator(mode="after")
    def _is_known(self) -> Board:
        if self.like is None and (self.ask is None or self.page is None):
            raise ValueError("say which board it is `like`, or `ask` and `page`")
        if "{md5}" not in self.kind.ask or "{id}" not in self.kind.page:
            raise ValueError("`ask` must hold {md5}, and `page` {id}")
        return self

    @property
    def kind(self) -> _Kind:
        """How it is asked, answers, and calls its posts."""
        like = _KINDS[self.like] if self.like else _Kind(self.ask or "", self.page or "")
        own = {name: getattr(self, name) for name in ("ask", "page", "posts", "id", "md5")}
        facts = {name: value for name, value in own.items() if value is not None}
        return _Kind(**{**{name: getattr(like, name) for name in own}, **facts})

    @property
    def name(self) -> str:
        """What people call it."""
        return urlsplit(self.site).netloc

    async def look_up(self, md5: str) -> HttpReply:
        """Ask it. Raises PermanentError or TemporaryError where it does not answer."""
        address = self.site + self.kind.ask.replace("{md5}", quote(md5))
        if self.query:
            address += ("&" if "?" in address else "?") + urlencode(revealed(self.query))
        headers = {"Accept": "application/json", **revealed(self.headers)}
        return await fetch(
            address, headers=headers, max_bytes=MOST_ANSWER_BYTES, shown_as=self.site
        )

    def post(self, answer: object, md5: str) -> str:
        """Give the address of the post with that MD5; nothing where there is none.

        Raises PermanentError where the answer is otherwise than it should be.
        """
        found = _at(answer, self.kind.posts)
        posts = found if isinstance(found, list) else [found] if found else []
        for post in posts:
            if str(_at(post, self.kind.md5)).lower() != md5:
                continue
            number = _at(post, self.kind.id)
            if isinstance(number, bool) or not _ID.fullmatch(str(number)):
                raise PermanentError(f"{self.site} has a post without a number ({self.kind.id})")
            return self.site + self.kind.page.replace("{id}", str(number))
        return ""


def _known_board(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in _KNOWN:
        raise ValueError(f"there is no board of that name here, but {', '.join(_KNOWN)}")
    like, site = _KNOWN[value]
    return {"like": like, "site": site}


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


@dataclass(slots=True)
class _Manners:
    """When a board may be asked again, and how long it has been in trouble."""

    next_at: float = 0.0
    failures: int = 0

    def rest(self, now: float, asked_for: float | None) -> float:
        """Leave it alone for a while; give how long."""
        usual = min(FIRST_REST_SECONDS * 2.0**self.failures, LONGEST_REST_SECONDS)
        self.failures += 1
        seconds = max(usual, asked_for or 0.0)
        self.next_at = max(self.next_at, now + seconds)
        return seconds


_manners: WeakKeyDictionary[Clock, dict[str, _Manners]] = WeakKeyDictionary()


@dataclass(slots=True)
class _Search:
    """What boards have said about one file so far."""

    call: Call[Any]
    action: FindPosts
    md5: str = ""
    found: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, call: Call[Any]) -> _Search:
        assert isinstance(call.action, FindPosts)
        md5, found = call.progress.get("md5"), call.progress.get("found")
        if not isinstance(md5, str) or not isinstance(found, Mapping):
            return cls(call, call.action)
        return cls(call, call.action, md5, {str(site): str(url) for site, url in found.items()})

    @property
    def values(self) -> dict[str, object]:
        return {"md5": self.md5, "found": self.found}

    def next_board(self) -> Board | None:
        """Give the board to ask next; None where all is known that was wanted."""
        if any(self.found.values()) and not self.action.all_boards:
            return None
        return next((b for b in self.action.boards if b.site not in self.found), None)

    def over(self) -> Outcome:
        """Give what came of it."""
        urls = [url for url in self.found.values() if url]
        values = {**self.values, "urls": urls, "url": urls[0] if urls else ""}
        if urls:
            return Outcome.done(", ".join(urls), values=values)
        none = f"not on {', '.join(board.name for board in self.action.boards)}"
        if self.action.none == "go_on":
            return Outcome.done(none, values=values)
        return Outcome.skipped(none, values=values)


class FindPosts(SetAction):
    """Look a file up on image boards by its MD5, and give the addresses of its posts.

    It only finds out: `associate_url` notes the addresses, and `add_url` has Hydrus fetch the
    tags. Where no board has the file the job ends, skipped, unless `none` says otherwise.

    Each board is asked for one file at a time, with a pause. One in trouble is left alone for
    longer and longer, and what it was asked for is tried again, then is a dead letter. What was
    answered is kept, and not asked again.

    Later steps see `steps.find_posts.urls` (a list), `.url` (the first, or nothing), `.found`
    (by site) and `.md5`.
    """

    action: ClassVar[str] = "find_posts"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    no_undo: ClassVar[str] = "it only asks"

    boards: Annotated[
        tuple[Annotated[Board, BeforeValidator(_known_board)], ...],
        BeforeValidator(_listed),
        OR_ONE,
    ] = Field(
        description=(
            "Which to ask, in this order: `danbooru`, `gelbooru`, `e621`, `yande.re`, `konachan`, "
            "or one of your own: `site`, and what it is `like`, or what to `ask`."
        ),
    )
    all_boards: bool = Field(
        default=False, description="`true` asks the others too when one has it."
    )
    pause: Duration = Field(
        default=2.0, ge=0.5, description="The pause between two questions to a board."
    )
    none: Literal["end", "go_on"] = Field(
        default="end", description="Where no board has it: `end` the job, or `go_on`."
    )

    @field_validator("boards")
    @classmethod
    def _names_one(cls, boards: tuple[Board, ...]) -> tuple[Board, ...]:
        if not boards:
            raise ValueError("name at least one board")
        return boards

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say who would be asked: to ask only to foresee it would be asking twice."""
        plans = []
        for call in calls:
            assert isinstance(call.action, FindPosts)
            names = ", ".join(board.name for board in call.action.boards)
            plans.append(Foreseen(f"would ask {names} for it", changes=False))
        return plans

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Ask those boards whose time has come; the others' calls come again, in their order."""
        waiting: Counter[str] = Counter()
        failures: list[Exception] = []

        async def ask(board: Board, search: _Search) -> None:
            try:
                await _ask(board, search)
            except Exception as error:  # noqa: BLE001 - raised again below, out of the group
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for call in calls:
                search = _Search.of(call)
                board = search.next_board()
                if call.earlier is not None and isinstance(call.earlier.values.get("urls"), list):
                    again = Outcome.done("was looked up before", values=call.earlier.values)
                    call.finish(again)
                elif board is None:
                    call.finish(search.over())
                elif (seconds := _may_be_asked_in(board, search, waiting)) > 0:
                    detail = f"waits until {board.name} may be asked"
                    call.finish(Outcome.later(detail, delay_seconds=seconds, values=search.values))
                else:
                    call.linger()
                    tasks.start_soon(ask, board, search, name=f"look up job {call.job_id}")
        if failures:  # of Hydrus, which was asked for the MD5: the lane knows what follows
            raise failures[0]


def _manners_for(board: Board, clock: Clock) -> _Manners:
    return _manners.setdefault(clock, {}).setdefault(board.site, _Manners())


def _may_be_asked_in(board: Board, search: _Search, waiting: Counter[str]) -> float:
    """Give for how long a board must be left alone, in seconds: now, it is asked at once."""
    manners, now = _manners_for(board, search.call.clock), search.call.clock.monotonic()
    pause = search.action.pause
    if manners.next_at > now:
        waiting[board.site] += 1
        return manners.next_at - now + (waiting[board.site] - 1) * pause
    manners.next_at = now + pause
    return 0.0


async def _ask(board: Board, search: _Search) -> None:
    """Ask a board, and say what is next."""
    call = search.call
    manners = _manners_for(board, call.clock)
    try:
        search.md5 = search.md5 or await _md5_of(call)
        reply = await board.look_up(search.md5)
        _refuse_bad(reply, board)
        search.found[board.site] = board.post(_json(reply, board), search.md5)
    except PermanentError as error:
        call.finish(Outcome.dead(str(error)))
    except _FileAway as error:
        call.finish(Outcome.retry(str(error)))
    except _Refused as error:
        call.finish(Outcome.park_rule(str(error)))
    except TemporaryError as error:
        seconds = manners.rest(call.clock.monotonic(), error.delay_seconds)
        call.finish(Outcome.retry(str(error), delay_seconds=seconds))
    else:
        manners.failures = 0
        answered = f"{board.name} has answered"
        later = Outcome.later(answered, delay_seconds=0, values=search.values)
        call.finish(later if search.next_board() else search.over())


async def _md5_of(call: Call[Any]) -> str:
    """Give the MD5 of the file that was noticed; where that is gone, Hydrus knows it."""
    source = call.source
    if source is not None:
        try:
            return await to_thread.run_sync(_digest, source)
        except (OSError, FileChangedError) as error:
            if call.file_hash is None:
                raise _FileAway(f"{source.path} is not there as it was noticed: {error}") from error
    if call.file_hash is None:
        raise PermanentError("there is no file to look up: put add_file before it")
    hashes = await call.client.file_hashes([call.file_hash], desired=HashType.MD5)
    if call.file_hash not in hashes:
        raise PermanentError("Hydrus does not know the MD5 of the file")
    return hashes[call.file_hash]


def _digest(source: FileSource) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with source.open() as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


class _FileAway(TemporaryError):
    """The file itself cannot be read: no board has anything to do with it."""


class _Refused(TemporaryError):
    """The board wants to know who asks, or does not want to be asked."""


def _refuse_bad(reply: HttpReply, board: Board) -> None:
    if 200 <= reply.status < 300:
        return
    told = f"{board.site} answered {reply.status}"
    if reply.status in _REFUSED:
        raise _Refused(f"{told}: it may want a key (`query`), or a User-Agent (`headers`)")
    if reply.status in _NOT_NOW or reply.status >= 500:
        seconds = reply.headers.get("retry-after", "")
        asked_for = min(float(seconds), LONGEST_REST_SECONDS) if seconds.isdecimal() else None
        raise TemporaryError(told, delay_seconds=asked_for)
    raise PermanentError(f"{told}: is `ask` right?")


def _json(reply: HttpReply, board: Board) -> object:
    text = reply.body.decode("utf-8", "replace")
    if not text.strip():
        return None  # how some say that there is nothing
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise TemporaryError(f"{board.site} did not answer in JSON") from None


def _at(value: object, path: str) -> object:
    """Give what is at a path of names and numbers with dots between them; None for nothing."""
    for name in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(FindPosts)
