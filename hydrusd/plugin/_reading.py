"""Actions that only read the file that was noticed, and tell later steps what is in it.

What such an action finds is put to use by the steps after it: by templates, and so by the one
action that knows how tags are added and taken back. All that can happen to a file between
noticing and reading is dealt with here.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, ClassVar, TypeVar, cast

from anyio import to_thread

from hydrusd.errors import PermanentError
from hydrusd.hydrus import FileChangedError
from hydrusd.model import Outcome
from hydrusd.plugin._action import Action, AnyAction, Call, Foreseen, source_outcome

Found = TypeVar("Found")


class ReadingAction(Action):
    """An action that reads the noticed file and changes nothing. Subclasses write ``read``."""

    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    needs_source: ClassVar[bool] = True
    no_undo: ClassVar[str] = "it only reads"

    def read(self, file: BinaryIO, call: Call[Any]) -> Outcome:
        """Say what is in the file, as ``Outcome.done(detail, values=…)``. Runs in a thread.

        An OSError of the file itself is looked into and tried again; so what a parser makes
        of broken content must not come out as one.
        """
        raise NotImplementedError  # see Action.run

    def foresee(self, file: BinaryIO, call: Call[Any]) -> Foreseen:
        """Say what reading would come to; one that writes what it read says so here."""
        outcome = self.read(file, call)
        return Foreseen(outcome.detail, changes=False, values=outcome.values)

    def run(self, call: Call[Action]) -> Outcome:  # type: ignore[override] # in a thread
        """Read the file, if it is still the one that was noticed."""
        return self._opened(call, self.read)

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Read, and say what comes of it."""
        plans = []
        for call in calls:
            action = cast("ReadingAction", call.action)
            try:
                seen = await to_thread.run_sync(action._opened, call, action.foresee)  # noqa: SLF001
            except PermanentError as error:
                seen = Foreseen(str(error), changes=False)
            plans.append(
                Foreseen(seen.detail, changes=False) if isinstance(seen, Outcome) else seen
            )
        return plans

    def _opened(
        self, call: Call[Any], what: Callable[[BinaryIO, Call[Any]], Found]
    ) -> Found | Outcome:
        source = call.source
        if source is None:
            return Outcome.dead(
                f"no file was noticed: {self.action} is for rules on files, as of watch_folder"
            )
        try:
            with io.BufferedReader(source.open()) as file:
                return what(cast("BinaryIO", file), call)
        except FileChangedError:
            return source_outcome(source.state(), source) or Outcome.retry("the file has changed")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return source_outcome(source.state(), source) or Outcome.retry(
                f"{source.path} cannot be read: {reason}"
            )
