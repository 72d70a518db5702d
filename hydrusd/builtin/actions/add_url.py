"""Has Hydrus download a URL, and follows it to its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, cast

from pydantic import BeforeValidator, Field

from hydrusd.builtin.actions._changing import as_list, wrong_domains
from hydrusd.builtin.actions._editing import too_old
from hydrusd.builtin.actions._url_following import (
    Entry,
    Found,
    ItemStatus,
    Kind,
    Pages,
    Sending,
    deleted_before,
    handed_over,
    judge,
    known_files,
    stale,
    values,
)
from hydrusd.builtin.actions._url_pace import Pace, Rate, is_url, slots_of
from hydrusd.builtin.actions.add_tags import AddTags
from hydrusd.plugin import (
    OR_ONE,
    AnyAction,
    Call,
    Data,
    Duration,
    Fault,
    Foreseen,
    HydrusClient,
    HydrusUnavailable,
    ImportStatus,
    JobId,
    Outcome,
    OutcomeKind,
    Permission,
    PermissionMissing,
    RequestRejected,
    SetAction,
    Undo,
    UrlFile,
    UrlInfo,
    VersionTooOld,
    keep_receipts,
    tells,
)

FIRST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 300.0
GROWTH = 0.5
FILE_DOMAINS_SINCE_API = 68

_STORED = frozenset(
    {ImportStatus.IMPORTED, ImportStatus.ALREADY_IN_DATABASE, ItemStatus.HAS_CHILDREN}
)


AnyCall = Call[SetAction] | Call[AnyAction]


Texts = Annotated[tuple[str, ...], BeforeValidator(as_list), OR_ONE]


class AddUrl(SetAction):
    """Have Hydrus download a URL, and wait for what comes of it.

    A URL whose file Hydrus has already is not sent; later steps apply to that file all the
    same. The others join the queue of a page, and are looked after until the file is
    there, or Hydrus says why it never will be.

    Later steps see `steps.add_url.url`, `.status` (`imported`, `already there` or
    `handed over`), `.hashes`, and `.hash`, the first of them.
    """

    action: ClassVar[str] = "add_url"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_URLS})
    names_files: ClassVar[bool] = True

    url: str = Field(default="", description="the URL; if left out, the one that was noticed")
    page: str = Field(
        default="hydrusd",
        min_length=1,
        description="the page of Hydrus that downloads it; Hydrus makes it if there is none",
    )
    tags: dict[str, Texts] = Field(
        default_factory=dict, description="tags for the file, by tag service"
    )
    filterable_tags: Texts = Field(
        default=(), description="tags that go through the page's tag import options"
    )
    file_domain: Texts = Field(
        default=(), description="the local file domains to import to, by name or key"
    )
    rate: Rate = Field(
        default=Pace(60, 60.0), description="how many URLs of one host are sent in what time"
    )
    give_up_after: Duration = Field(
        default=86_400.0, description="how long to wait for its end once it was sent"
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name the services that the client does not have."""
        for found in self.tagging.preflight(client) if self.tags else ():
            yield replace(found, path=("tags", *found.path))
        if self.file_domain:
            yield from too_old(self.action, FILE_DOMAINS_SINCE_API, client)
            yield from wrong_domains(client, "file_domain", self.file_domain)

    @property
    def later_statuses(self) -> Mapping[str, str]:
        """Give what `steps.add_url.status` may be; with any other the job ends here."""
        return dict.fromkeys(("imported", "already there", "handed over"), "")

    @property
    def tagging(self) -> AddTags:
        """The step that gives the files their tags, once they are there."""
        return AddTags.model_validate(self.tags)

    def adds_nothing(self, kind: Kind) -> bool:
        """Say whether sending a URL that waits in a queue already would change nothing there."""
        sent_along = self.filterable_tags or self.file_domain
        return not sent_along and (kind is Kind.FILE or not self.tags)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Look after those that were sent, and send those whose time has come."""
        await _Visit(calls, await calls[0].client.boot()).run()

    @classmethod
    def undo_refusal(cls, receipt: Data) -> str:
        """Say that what was downloaded stays, where that is all."""
        only = "what Hydrus has downloaded stays: there is no other copy of it here"
        return "" if tells(receipt.get("added")) else only

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which tags would go; the files stay."""
        foreseen = await AddTags.undo_plan([_tags_only(call) for call in calls])
        return [replace(each, detail=f"{each.detail}; the file stays") for each in foreseen]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Take the tags off again. The files stay: there is no other copy of them here."""
        tagged = {call: _tags_only(call) for call in calls}
        await AddTags.undo_set(list(tagged.values()))
        for call, one in tagged.items():
            assert one.outcome is not None
            call.finish(one.outcome)

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose files, or whose tags, the client does not have (any more)."""
        client = calls[0].client
        named = {call: _earlier(call, "hashes") for call in calls}
        if not client.can_look_up_files:
            return calls
        try:
            known = await client.known_hashes(sorted({h for some in named.values() for h in some}))
        except (PermissionMissing, VersionTooOld):
            return calls
        lost = {call for call, some in named.items() if not some or not known.issuperset(some)}
        tagged = {_tag_call(c, named[c]): c for c in calls if c not in lost and _action(c).tags}
        untagged = await AddTags.lost(list(tagged)) if tagged else ()
        lost |= {call for one, call in tagged.items() if one in untagged}
        return [call for call in calls if call in lost]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Look up which URLs are known, and say what would be done with the others."""
        return [await _foreseen(call) for call in calls]


def _action(call: AnyCall) -> AddUrl:
    assert isinstance(call.action, AddUrl)
    return call.action


def _url(call: AnyCall) -> str:
    return (_action(call).url or str(call.data.get("url") or "")).strip()


def _tag_call(call: AnyCall, hashes: Sequence[str]) -> Call[SetAction]:
    """Make the call of the step that tags the files of this one, with its share of the receipt."""
    earlier = call.earlier
    receipt = (earlier.receipt if earlier is not None else None) or {}
    keeper = call.keeper

    async def keep(receipts: Mapping[JobId, Data]) -> None:
        if keeper is not None:
            await keeper({job_id: {**receipt, **own} for job_id, own in receipts.items()})

    tagging: Call[AnyAction] = replace(
        call,
        action=_action(call).tagging,
        file_hashes=hashes,
        keeper=keep,
        steps=()
        if earlier is None
        else (replace(earlier, action=AddTags.action, receipt=_of_tags(receipt)),),
    )
    return cast("Call[SetAction]", tagging)


def _tags_only(call: Call[Undo]) -> Call[Undo]:
    """Make the call that takes back what the tagging of this one has done, and no more."""
    receipt = dict(_of_tags(call.action.receipt))
    return replace(call, action=call.action.model_copy(update={"receipt": receipt}))


def _of_tags(receipt: Data) -> Data:
    return {kind: tags for kind, tags in receipt.items() if kind in {"added", "pended", "deleted"}}


def _earlier(call: AnyCall, part: str) -> tuple[str, ...]:
    """Give a list of hashes that an earlier, finished run of this step left."""
    record = call.earlier
    left = {} if record is None else {**record.values, **(record.receipt or {})}
    hashes = left.get(part)
    return tuple(map(str, hashes)) if isinstance(hashes, list | tuple) else ()


def _noted(call: AnyCall) -> Sending | None:
    """Give what was about to be sent by a try that did not live to hear an answer."""
    receipt = call.earlier.receipt if call.earlier is not None else None
    sending = (receipt or {}).get("sending")
    return Sending.from_data(sending) if isinstance(sending, Mapping) else None


# --- what is known before anything is sent ------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A URL that the client has nothing of yet."""

    url: str
    info: UrlInfo

    @property
    def kind(self) -> Kind:
        return Kind.of(self.info)


async def _recognise(call: AnyCall) -> Found | Outcome | _Wanted:
    """Ask the client what it knows of the URL, and what it would do with it."""
    url = _url(call)
    if not url:
        return Outcome.dead(
            "there is no URL: give `url`, or use a trigger that notices URLs, such as url_list"
        )
    if not is_url(url):
        return Outcome.dead(f"{url!r} is no URL: it needs a scheme and a host, as in https://…")
    try:
        info = await call.client.get_url_info(url)
        files = await _files(call.client, url) if Kind.of(info) is Kind.FILE else ()
    except RequestRejected as error:
        return Outcome.dead(str(error), values=values(url, "refused"))
    if hashes := known_files(files):
        return Found(hashes, ())
    return deleted_before(url, files) or _Wanted(url, info)


async def _files(client: HydrusClient, url: str) -> Sequence[UrlFile]:
    return (await client.get_url_files(url)).url_file_statuses


async def _foreseen(call: Call[AnyAction]) -> Foreseen:
    found = await _recognise(call)
    action = _action(call)
    match found:
        case Outcome():
            return Foreseen.of(found)
        case _Wanted():
            what = f"would have Hydrus download {found.url}, on the page {action.page!r}"
            status = "imported" if found.kind is Kind.FILE else "handed over"
            return Foreseen(what, values=values(found.url, status))
    there = "already there"
    seen = values(_url(call), there, found.hashes)
    if action.tags:
        [tags] = await AddTags.plan([_tag_call(call, found.hashes)])
        return Foreseen(f"{there}; {tags.detail}", changes=tags.changes, values=seen)
    return Foreseen(there, changes=False, values=seen)


# --- one look at the client ---------------------------------------------------------------


class _Visit:
    """What is done for a set of calls at one go."""

    def __init__(self, calls: Sequence[Call[SetAction]], boot: str) -> None:
        self._calls = calls
        self._client = calls[0].client
        self._clock = calls[0].clock
        self._boot = boot
        self._pages = Pages(self._client)
        self._found: dict[Call[SetAction], Found] = {}

    async def run(self) -> None:
        wanted = []
        for call in await self._follow():
            match await _recognise(call):
                case Found() as found:
                    # It was not there when it was about to be sent; by whom it is, who knows.
                    noted = _noted(call) is not None
                    self._found[call] = replace(found, imported=None) if noted else found
                case Outcome() as outcome:
                    call.finish(outcome)
                case _Wanted() as one:
                    wanted.append((call, one))
        await self._finish_found()
        due = [
            (call, sending)
            for call, one in wanted
            if (sending := await self._begin(call, one)) is not None
        ]
        # A daemon that dies before it hears of an answer finds the URL in Hydrus' queue, and would
        # take it for somebody else's.
        await keep_receipts({call: {"sending": sending.to_data()} for call, sending in due})
        for call, sending in due:
            await self._send(call, sending)

    # What was sent

    async def _follow(self) -> list[Call[SetAction]]:
        """Look after what was sent. Gives the calls of which the client knows nothing."""
        unknown = []
        waiting: dict[Call[SetAction], Sending] = {}
        for call in self._calls:
            match await self._look_after(call):
                case None:
                    unknown.append(call)
                case Sending() as still:
                    waiting[call] = still
                case Found() as found:
                    self._found[call] = found
                case Outcome() as outcome:
                    call.finish(outcome)
        if waiting:
            # All at the same time: the next look, too, shall read each page but once.
            delay = min(self._delay_seconds(call, sending) for call, sending in waiting.items())
            for call, sending in waiting.items():
                call.finish(_under_way(sending, delay))
        return unknown

    async def _look_after(self, call: Call[SetAction]) -> Found | Outcome | Sending | None:
        """Say what became of what was sent, or was about to be; None where it has to be (again)."""
        if (sending := Sending.from_data(call.progress)) is not None:
            return await self._look(call, sending)
        if (noted := _noted(call)) is None:
            return None
        entry = await self._pages.entry(_action(call).page, noted)
        if entry is None or noted.before == entry.changed:
            return None
        return await self._look(call, noted)

    async def _look(
        self, call: Call[SetAction], sending: Sending
    ) -> Found | Outcome | Sending | None:
        """Say what became of a URL: its end, that it is under way, or None for nothing at all."""
        page = _action(call).page
        entry = await self._pages.entry(page, sending)
        if entry is not None and not entry.is_open:
            return await self._ended(sending, entry)
        if entry is None:
            restarted = sending.boot != self._boot
            if sending.kind is not Kind.FILE:
                return None if restarted else handed_over(sending, page)
            files = await _files(self._client, sending.url)
            if hashes := known_files(files):
                return Found(hashes, None)
            if (outcome := deleted_before(sending.url, files)) or restarted:
                return outcome
        sending = sending.in_boot(self._boot, self._clock.now())
        if self._age_seconds(sending) >= _action(call).give_up_after:
            return self._unknown(sending, page, entry)
        return sending

    async def _ended(self, sending: Sending, entry: Entry) -> Found | Outcome:
        stored = entry.status in _STORED
        if stored and sending.before and sending.before == entry.changed:
            # Hydrus had dealt with it before it was sent, and did nothing now.
            there = entry.hash and await self._has(entry.hash)
            return Found((entry.hash,), None) if entry.hash and there else stale(sending, entry)
        files: Sequence[UrlFile] = ()
        if sending.kind is Kind.FILE and stored and entry.hash is None:
            files = await _files(self._client, sending.url)
        return judge(sending, entry, files)

    async def _has(self, file_hash: str) -> bool:
        if not self._client.can_look_up_files:
            return False
        return file_hash in await self._client.known_hashes([file_hash])

    def _unknown(self, sending: Sending, page: str, entry: Entry | None) -> Outcome:
        if entry is not None:
            why = f"Hydrus still has it waiting on the page {page!r}"
        elif self._pages.visible:
            why = f"it is no longer on the page {page!r}, and Hydrus has no file from it"
        else:
            why = (
                "Hydrus has no file from it, and this access key may not see pages "
                "('manage pages'), where a failure would stand"
            )
        hours = self._age_seconds(sending) / 3600
        return Outcome.dead(
            f"unknown: {hours:.3g} h after it was sent, {why}",
            values=values(sending.url, "unknown"),
        )

    def _age_seconds(self, sending: Sending) -> float:
        return (self._clock.now() - sending.since).total_seconds()

    def _delay_seconds(self, call: Call[SetAction], sending: Sending) -> float:
        age = self._age_seconds(sending)
        left = max(_action(call).give_up_after - age, 0.0)
        return min(max(age * GROWTH, FIRST_LOOK_SECONDS), LONGEST_LOOK_SECONDS, left)

    # What is to be sent

    async def _begin(self, call: Call[SetAction], wanted: _Wanted) -> Sending | None:
        """Give what is to be sent; None where its turn comes later or it is in the queue."""
        action = _action(call)
        forms = tuple(dict.fromkeys((wanted.url, wanted.info.normalised_url)))
        sending = Sending(wanted.url, forms, wanted.kind, self._clock.now(), self._boot)
        entry = await self._pages.entry(action.page, sending)
        if entry is not None:
            if action.adds_nothing(wanted.kind) and wanted.kind is Kind.WATCHER:
                call.finish(handed_over(sending, action.page))
                return None
            if action.adds_nothing(wanted.kind) and entry.is_open:
                call.finish(_under_way(sending, FIRST_LOOK_SECONDS))
                return None
            sending = replace(sending, before=entry.changed)
        wait, promise = slots_of(self._client).take(
            call.rule, wanted.url, action.rate, call.progress, self._clock.monotonic()
        )
        if wait > 0:
            detail = f"its turn comes in {wait:.0f} s (rate)"
            call.finish(Outcome.later(detail, delay_seconds=wait, values=promise))
            return None
        return sending

    async def _send(self, call: Call[SetAction], sending: Sending) -> None:
        action = _action(call)
        many = sending.kind is not Kind.FILE
        try:
            result = await self._client.add_url(
                sending.url,
                destination_page_name=action.page,
                additional_tags=action.tags if many else None,
                filterable_tags=action.filterable_tags,
                file_services=action.file_domain,
            )
        except RequestRejected as error:
            call.finish(Outcome.dead(str(error), values=values(sending.url, "refused")))
            return
        except HydrusUnavailable as error:
            if not error.outcome_unknown:
                raise
            call.finish(Outcome.retry(str(error)))  # the others need not bear the attempt
            return
        forms = tuple(dict.fromkeys((*sending.forms, result.normalised_url)))
        sending = replace(sending, forms=forms, since=self._clock.now())
        if sending.kind is Kind.WATCHER or (many and not self._pages.visible):
            call.finish(handed_over(sending, action.page))
        else:
            call.finish(_under_way(sending, FIRST_LOOK_SECONDS))

    # What is there

    async def _finish_found(self) -> None:
        """Tag the files that are there, and say so."""
        tagging = {
            call: _tag_call(call, found.hashes)
            for call, found in self._found.items()
            if _action(call).tags and found.hashes
        }
        if tagging:
            await AddTags.run_set(list(tagging.values()))
        for call, found in self._found.items():
            call.finish(_there(call, found, tagging[call].outcome if call in tagging else None))


def _under_way(sending: Sending, delay_seconds: float) -> Outcome:
    return Outcome.later(
        f"sent to Hydrus as {sending.forms[-1]}",
        delay_seconds=delay_seconds,
        values=sending.to_data(),
    )


def _there(call: Call[SetAction], found: Found, tagged: Outcome | None) -> Outcome:
    if tagged is not None and tagged.kind is not OutcomeKind.DONE:
        return tagged
    # Done again after a crash, a file that we brought is "already there" by our own doing.
    ours = set(_earlier(call, "imported")).union(found.imported or ())
    mine = [file_hash for file_hash in found.hashes if file_hash in ours]
    certain = found.imported is not None or len(mine) == len(found.hashes)
    receipt: dict[str, object] = {"imported": mine if certain else None}
    if tagged is not None:
        receipt |= tagged.receipt or {}
    status = "imported" if mine else "already there"
    count = f" ({len(found.hashes)} files)" if len(found.hashes) > 1 else ""
    return Outcome.done(
        f"{status}{count}{f'; {tagged.detail}' if tagged else ''}",
        values=values(_url(call), status, found.hashes),
        receipt=receipt,
    )
