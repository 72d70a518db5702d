"""Changing tags of files: what every action on tags is made of.

A tag can be in one of a few states in a service, and each of the six actions of the API
changes something in some of them only. What it would not change is not sent: the client does
less, a receipt says only what was new, and a tag that somebody took off stays off.

Siblings and parents are Hydrus' own affair; tags are written as they are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from hydrusd.builtin.actions._changing import as_list
from hydrusd.builtin.actions._editing import FileEdit, Wish, unrendered
from hydrusd.builtin.actions._taking_back import Change, count_of
from hydrusd.plugin import (
    OR_ONE,
    Fault,
    HydrusClient,
    Permission,
    RequestRejected,
    Service,
    ServiceType,
    TagAction,
    TagStatus,
    clean_tag,
)

Standing = Mapping[str, Mapping[int, set[str]]]
"""Service → status → tags, of one file."""

Tags = Annotated[tuple[str, ...], BeforeValidator(as_list), OR_ONE]

_PAST = {
    TagAction.ADD: "added",
    TagAction.DELETE: "deleted",
    TagAction.PEND: "pended",
    TagAction.RESCIND_PEND: "rescinded_pend",
    TagAction.PETITION: "petitioned",
    TagAction.RESCIND_PETITION: "rescinded_petition",
}
_TAKING_OFF = frozenset({TagAction.DELETE, TagAction.PETITION})
_PUTTING_ON = frozenset({TagAction.ADD, TagAction.PEND, TagAction.RESCIND_PETITION})
_LOCAL_ACTIONS = frozenset({TagAction.ADD, TagAction.DELETE})


class TagEdit(NamedTuple):
    """One action on one tag in one service, by the service's reference."""

    service: str
    action: TagAction
    tag: str


@dataclass(frozen=True, slots=True)
class How:
    """What holds for all edits of a step, see the parameters of the actions."""

    readd_deleted: bool = False
    keep_off: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TagChange(Change):
    """The edits that some files need."""

    edits: tuple[TagEdit, ...]
    how: How
    looked: bool

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Send them with one request for 256 files."""
        changes: dict[str, dict[TagAction, list[str | tuple[str, str]]]] = {}
        for service, action, tag in self.edits:
            petitions = action is TagAction.PETITION and self.how.reason
            entry = (tag, self.how.reason) if petitions else tag
            changes.setdefault(service, {}).setdefault(action, []).append(entry)
        # Clients before API 65 record every deletion. That matters only on files without the
        # tag, and those were left out where one could look.
        spares = self.looked and not client.can_spare_deleted_tags
        records = self.how.keep_off or spares or not self._takes_off
        await client.change_tags(
            hashes,
            changes,
            readd_deleted=self.how.readd_deleted,
            record_absent_as_deleted=records,
        )

    @property
    def _takes_off(self) -> bool:
        return any(edit.action in _TAKING_OFF for edit in self.edits)

    def words(self, answer: object = None) -> str:
        """Count the tags by what is done with them."""
        del answer
        counts = Counter(edit.action for edit in self.edits)
        return ", ".join(
            f"{count_of(number, 'tag')} {_PAST[action].replace('_', ' ')}"
            for action, number in counts.items()
        )

    def kept(self, state: Standing, answer: object) -> Mapping[str, object]:
        """Give the tags by what was done and by service."""
        del answer
        kept: dict[str, dict[str, list[str]]] = {}
        for edit in self.edits:
            kind = _PAST[edit.action]
            if edit.action is TagAction.DELETE and not _is(TagStatus.CURRENT, edit, state):
                kind = "kept_off"  # it was not there: to undo this is not to add it
            kept.setdefault(kind, {}).setdefault(edit.service, []).append(edit.tag)
        return kept


@dataclass(frozen=True, slots=True)
class TagWish(Wish):
    """The edits that a step asks for."""

    nothing: ClassVar[str] = "the tags are so already"

    edits: tuple[TagEdit, ...]
    how: How

    def change(self, file_hash: str, state: Standing | None) -> TagChange | None:
        """Leave out the edits that would change nothing."""
        del file_hash
        if state is None:
            needed = self.edits
        else:
            needed = tuple(edit for edit in self.edits if _changes(edit, state, self.how))
        return TagChange(needed, self.how, state is not None) if needed else None

    def diff(self, state: Standing) -> Sequence[str]:
        """Show each tag."""
        return [
            f"{_mark(edit) if _changes(edit, state, self.how) else '='} {edit.tag}"
            for edit in self.edits
        ]


class TagStep(FileEdit):
    """What actions share that change tags."""

    verb: ClassVar[str] = "tag"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TAGS})

    _doubtful: Mapping[tuple[str, ...], str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, data: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        made = make(data)
        if isinstance(data, Mapping):
            services = {k: v for k, v in data.items() if k not in cls.model_fields}
            made._doubtful = dict(_with_commas(services, ()))  # noqa: SLF001 - our own
        return made

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Doubt a tag that was probably meant as two."""
        del rules
        for path, text in self._doubtful.items():
            listed = ", ".join(f'"{part.strip()}"' for part in text.split(",") if part.strip())
            yield Fault(
                f"this is one tag with a comma in it: {text!r}",
                f'write [{listed}] for several; ["{text}"], in a list, for this one',
                path,
                "warning",
            )

    @property
    def services(self) -> Iterable[str]:
        """The tag services, as written."""
        raise NotImplementedError  # see Action.run

    @property
    def how(self) -> How:
        """What holds for all edits."""
        raise NotImplementedError  # see Action.run

    @model_validator(mode="after")
    def _names_a_service(self) -> Self:
        if not list(self.services):
            raise ValueError("name a tag service, as in 'my tags: [a, b]'")
        return self

    def asked(self, name: str, service: Service) -> Iterable[tuple[TagAction, Sequence[str]]]:
        """Give what is to be done in a service, which was written as ``name``."""
        raise NotImplementedError  # see Action.run

    def wish(self, client: HydrusClient) -> TagWish:
        """Find the services, and clean the tags as Hydrus will."""
        edits: dict[TagEdit, None] = {}
        for name in self.services:
            service = client.tag_service(name)
            for action, tags in self.asked(name, service):
                if why := _refusal(name, service, action):
                    raise RequestRejected(why)
                for tag in cleaned_tags(tags):
                    edits[TagEdit(service.reference, action, tag)] = None
        return TagWish(tuple(edits), self.how)

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, Standing]:
        """Give the tags that the files have now."""
        return await client.tags(hashes)

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: Standing
    ) -> tuple[TagChange | None, Sequence[str]]:
        """Do the opposite of what was done, where the tag is still as that left it."""
        del file_hash
        known = {service.reference for service in client.services}
        edits: list[TagEdit] = []
        alone: list[str] = []
        for kind, services in taken.items():
            for service, tags in services.items():
                for tag in tags:
                    edit = None if kind not in _BACK else TagEdit(service, _BACK[kind][0], tag)
                    if service not in known:
                        alone.append(f"the tag service {service[:16]} is gone")
                    elif edit is None:
                        alone.append("that a tag is kept off cannot be taken back")
                    elif _BACK[kind][1](edit, state):
                        edits.append(edit)
                    else:
                        alone.append(f"{tag!r} is {_BACK[kind][2]}")
        how = How(readd_deleted=True)
        return (TagChange(tuple(edits), how, looked=True) if edits else None), alone

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name the services that the client does not have, or has twice, or that do not do it."""
        for name in self.services:
            if unrendered(name):
                continue  # which one it is, each file will tell
            try:
                service = client.tag_service(name)
            except RequestRejected as error:
                yield Fault(error.message, path=(name,))
                continue
            for action, _ in self.asked(name, service):
                if why := _refusal(name, service, action):
                    yield Fault(why, path=(name, action.name.lower()))


def _with_commas(value: object, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    """Give the tags that stand alone and hold a comma. Who writes a list knows how to write two."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _with_commas(item, (*path, str(key)))
    elif isinstance(value, str) and "," in value and not unrendered(value):
        yield path, value


def is_local(service: Service) -> bool:
    """Say whether a tag service is the user's own, and no repository."""
    return service.type == ServiceType.LOCAL_TAG_DOMAIN


def _refusal(name: str, service: Service, action: TagAction) -> str:
    if (action in _LOCAL_ACTIONS) == is_local(service):
        return ""
    takes = [a.name.lower() for a in TagAction if (a in _LOCAL_ACTIONS) == is_local(service)]
    kind = "a local tag service" if is_local(service) else "a tag repository"
    return f"{name!r} is {kind}, which takes no {action.name.lower()}, but {', '.join(takes)}"


def cleaned_tags(texts: Sequence[str]) -> list[str]:
    """Give tags as Hydrus will keep them, each once, without those of which nothing is left."""
    return list(dict.fromkeys(tag for tag in map(_cleaned, texts) if tag))


def _cleaned(text: str) -> str:
    # Until nothing is left to clean: each "-" of "- - a" takes Hydrus a round of its own.
    while (tag := clean_tag(text)) != text:
        text = tag
    return tag


def _mark(edit: TagEdit) -> str:
    return "+" if edit.action in _PUTTING_ON else "-"


def _is(status: TagStatus, edit: TagEdit, state: Standing) -> bool:
    return edit.tag in state.get(edit.service, {}).get(status, ())


def _changes(edit: TagEdit, state: Standing, how: How) -> bool:
    """Say whether an edit would change anything on a file."""
    current = _is(TagStatus.CURRENT, edit, state)
    deleted = _is(TagStatus.DELETED, edit, state)
    pending = _is(TagStatus.PENDING, edit, state)
    barred = deleted and not how.readd_deleted
    there = current or (how.keep_off and not deleted)
    match edit.action:
        case TagAction.ADD:
            return not current and not barred
        case TagAction.PEND:
            return not current and not pending and not barred
        case TagAction.DELETE:
            return there
        case TagAction.PETITION:
            return there and not pending and not _is(TagStatus.PETITIONED, edit, state)
        case TagAction.RESCIND_PEND:
            return pending
        case TagAction.RESCIND_PETITION:
            return _is(TagStatus.PETITIONED, edit, state)


_BACK: Mapping[str, tuple[TagAction, Callable[[TagEdit, Standing], bool], str]] = {
    "added": (TagAction.DELETE, partial(_is, TagStatus.CURRENT), "no longer there"),
    "deleted": (
        TagAction.ADD,
        lambda edit, state: not _is(TagStatus.CURRENT, edit, state),
        "there again",
    ),
    "pended": (TagAction.RESCIND_PEND, partial(_is, TagStatus.PENDING), "no longer pending"),
    "rescinded_pend": (
        TagAction.PEND,
        lambda edit, state: (
            not _is(TagStatus.CURRENT, edit, state) and not _is(TagStatus.PENDING, edit, state)
        ),
        "there or pending again",
    ),
    "petitioned": (
        TagAction.RESCIND_PETITION,
        partial(_is, TagStatus.PETITIONED),
        "no longer petitioned",
    ),
    "rescinded_petition": (
        TagAction.PETITION,
        lambda edit, state: (
            _is(TagStatus.CURRENT, edit, state) and not _is(TagStatus.PETITIONED, edit, state)
        ),
        "petitioned again, or no longer there",
    ),
}
"""Of each kind of change: what takes it back, when that is due, and how a tag is where not."""
