"""Sets the headers that the client sends to websites."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Data,
    Fault,
    Foreseen,
    Header,
    HeaderApproval,
    HeaderText,
    HydrusClient,
    Outcome,
    PermanentError,
    Permission,
    PlainSecret,
    WebSite,
    header_text,
)

USER_AGENT = "user-agent"
HYDRUS_USER_AGENT = "Mozilla/5.0 (compatible; Hydrus Client)"
SINCE_API = 43

_REFERENCE = re.compile(r"\$\{\s*(env|file|keyring)\s*:")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+|.*(\{\{|\{%).*")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is no name of a header: it may hold letters, digits and '-'")
    return text


def _no_reference(text: str) -> str:
    # Sent as it stands it would be of no use; and what a template yields is never looked up.
    if _REFERENCE.search(text):
        raise ValueError("must not refer to a secret: write it as {secret: …} for that")
    return text


HeaderName = Annotated[str, AfterValidator(_name)]
HeaderValue = Annotated[HeaderText, AfterValidator(_no_reference)]


class HeaderChange(BaseModel):
    """What a header is to be. What is not given stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: HeaderValue | None = Field(default=None, repr=False)
    secret: PlainSecret | None = None
    approved: HeaderApproval | None = None
    reason: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_text_is_its_value(cls, given: object) -> object:
        return given if isinstance(given, Mapping | HeaderChange) else {"value": given}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("says nothing: give 'value', 'secret', 'approved' or 'reason'")
        if self.value is not None and self.secret is not None:
            raise ValueError("has both a value and a secret")
        return self

    def revealed(self) -> str | None:
        """Give the value itself. Raises PermanentError where it cannot be had or sent."""
        if self.secret is None:
            return self.value
        try:
            return header_text(self.secret.reveal())
        except ValueError as error:
            raise PermanentError(f"{self.secret!r} {error}") from None


@dataclass(slots=True)
class _Changes:
    """What there is to send, and what it is now."""

    headers: dict[str, Header | None] = field(default_factory=dict)
    before: dict[str, Header | None] = field(default_factory=dict)
    resets_user_agent: bool = False

    def note(self, name: str, before: Header | None, wanted: Header | None) -> None:
        self.before[name] = before
        self.headers[name] = wanted


class SetHeaders(Action):
    """Set headers that Hydrus sends to websites: to all, or to one domain and its subdomains.

    Each header is given as its value; or with `value` or `secret`, `approved` (`approved`,
    `denied`, or `pending`, which asks Hydrus' user) and `reason`, of which what is left out
    stays as it is; or as `null`, which removes it. The `User-Agent` for all websites cannot be
    removed: `null` brings back Hydrus' own. Only what differs is sent.

    Needs Client API ≥ 43. Below, the `User-Agent` for all websites is all that can be set.
    """

    action: ClassVar[str] = "set_headers"
    no_undo: ClassVar[str] = "what headers were is not kept, as they may hold secrets"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_HEADERS})

    domain: WebSite | None = Field(
        default=None,
        description="The domain that they are sent to, with its port if it has one. "
        "Without: all websites.",
    )
    headers: dict[HeaderName, HeaderChange | None] = Field(
        min_length=1, description="What each header is to be, by its name."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({name.lower() for name in self.headers}) < len(self.headers):
            raise ValueError("a header is named twice: upper and lower case are the same")
        return self

    @property
    def _old_way(self) -> bool:
        """Whether it is what clients could do before they had headers."""
        [name, *others] = self.headers
        change = self.headers[name]
        plain = change is None or change.model_fields_set in ({"value"}, {"secret"})
        return self.domain is None and not others and name.lower() == USER_AGENT and plain

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Say where the client is too old for these headers."""
        version = client.info.api_version
        if version < SINCE_API and not self._old_way:
            yield Fault(
                f"headers need Client API ≥ {SINCE_API}, this client speaks {version}",
                hint="it can be given a User-Agent for all websites, and nothing else",
                path=("headers",),
            )

    async def run(self, call: Call[Action]) -> Outcome:
        """Send what differs."""
        if self._blind(call.client):
            await call.client.set_user_agent(self._user_agent())
            return Outcome.done("User-Agent sent; this client cannot be asked what it was")
        changes = await self._compare(call.client)
        if changes.headers:
            await call.client.set_headers(changes.headers, self.domain)
        if changes.resets_user_agent:
            await call.client.set_user_agent("")
        return Outcome.done(
            _summary(changes),
            values={"changed": list(changes.before)},
            receipt=self._receipt(call, changes),
        )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Ask and compare."""
        foreseen = []
        for call in calls:
            assert isinstance(call.action, SetHeaders)
            if call.action._blind(call.client):  # noqa: SLF001 - its own
                foreseen.append(Foreseen("User-Agent, whatever it is now"))
                continue
            try:
                changes = await call.action._compare(call.client)  # noqa: SLF001 - its own
            except PermanentError as error:
                foreseen.append(Foreseen.dead(str(error)))
                continue
            values: Data = {"changed": list(changes.before)}
            foreseen.append(Foreseen(_summary(changes), bool(changes.before), values))
        return foreseen

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose headers are not what they were set to."""
        foreseen = await cls.plan(calls)
        return [call for call, look in zip(calls, foreseen, strict=True) if look.changes]

    def _blind(self, client: HydrusClient) -> bool:
        return client.info.api_version < SINCE_API and self._old_way

    def _user_agent(self) -> str:
        [change] = self.headers.values()
        return (change.revealed() if change is not None else None) or ""

    async def _compare(self, client: HydrusClient) -> _Changes:
        """Raises PermanentError, before anything is sent, for what cannot be done."""
        standing = await client.get_headers(self.domain)
        # Hydrus takes two spellings of a name for two headers, and would send both.
        spelt = {name.lower(): name for name in standing}
        changes = _Changes()
        for written, change in self.headers.items():
            name = spelt.get(written.lower(), written)
            before = standing.get(name)
            if change is not None:
                wanted = _difference(name, before, change)
                if wanted is not None:
                    changes.note(name, before, wanted)
            elif self.domain is None and name.lower() == USER_AGENT:
                if before is None or before.value != HYDRUS_USER_AGENT:
                    changes.before[name] = before
                    changes.resets_user_agent = True
            elif before is not None:
                changes.note(name, before, None)
        return changes

    def _receipt(self, call: Call[Action], changes: _Changes) -> Data:
        """Keep what was before, but for values, which may be secrets; a User-Agent is none."""
        headers = {name: _told(name, before) for name, before in changes.before.items()}
        earlier = call.earlier.receipt if call.earlier is not None else None
        first = earlier.get("headers") if earlier is not None else None
        return {
            "domain": self.domain,
            "headers": headers | (dict(first) if isinstance(first, Mapping) else {}),
        }


def _difference(name: str, before: Header | None, change: HeaderChange) -> Header | None:
    """Give what has to be sent; None where all is as it should be."""
    value = change.revealed()
    if before is None:
        if value is None:
            raise PermanentError(f"there is no header {name} yet: it needs a value")
        return Header(value, change.approved, change.reason)
    different = Header(
        None if value == before.value else value,
        None if change.approved == before.approved else change.approved,
        None if change.reason == before.reason else change.reason,
    )
    return None if different == Header() else different


def _told(name: str, before: Header | None) -> Data | None:
    if before is None:
        return None
    told = {"approved": before.approved, "reason": before.reason}
    return {**told, "value": before.value} if name.lower() == USER_AGENT else told


def _summary(changes: _Changes) -> str:
    if not changes.before:
        return "all is as it should be"
    words = []
    for name, before in changes.before.items():
        if name not in changes.headers:
            words.append(f"{name} as Hydrus has it")
        elif changes.headers[name] is None:
            words.append(f"{name} removed")
        else:
            words.append(f"{name} {'new' if before is None else 'changed'}")
    return ", ".join(words)
