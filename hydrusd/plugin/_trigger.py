"""What a trigger is, and what it is given to work with.

A trigger only notices. It may forget everything it knows at any moment, be told
twice, or be killed between two lines: the ledger remembers, and ``emit`` returns
only when what it was given is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from hydrusd.clock import Clock
from hydrusd.model import Event


class TriggerContext(Protocol):
    """What a running trigger can ask of the engine."""

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    async def emit(self, events: Sequence[Event]) -> None:
        """Hand over what was noticed. Returns when it is stored; known events are no-ops."""
        ...

    async def unseen(self, keys: Sequence[str]) -> set[str]:
        """Give those of the keys that a rule listening here has not had yet."""
        ...

    def waiting(self, reason: str) -> None:
        """Tell the user that nothing can be noticed at the moment, and why."""
        ...

    def working(self, detail: str = "") -> None:
        """Tell the user that all is well (again)."""
        ...

    def warn(self, message: str) -> None:
        """Tell the user of something that does not stop the trigger."""
        ...


class Trigger(BaseModel):
    """A source of events. Its annotated fields are its parameters in YAML.

    Rules whose triggers have the same name and parameters share one instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trigger: ClassVar[str] = ""
    """The name under ``on`` in YAML."""

    async def run(self, context: TriggerContext) -> None:
        """Notice things until cancelled. An exception restarts the trigger after a while."""
        raise NotImplementedError  # an abstract method: pydantic's metaclass leaves no room for ABC
