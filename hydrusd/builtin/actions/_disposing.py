"""What all actions share that take the source away.

The file on disk may be the only copy, so each looks at the very last moment whether it
is still the file that was noticed, and each can be repeated: a daemon that was killed
between the deed and the note of it finds the work half done, and has to finish it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from anyio import to_thread

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    FileSource,
    Foreseen,
    Outcome,
    PermanentError,
    SourceState,
    TemporaryError,
    source_outcome,
)

_HOPELESS = frozenset(
    {
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EROFS,
    }
)


def source_of(call: Call[Action] | Call[AnyAction]) -> FileSource:
    """Give the file that was noticed. Raises ``PermanentError`` where there is none."""
    source = call.source
    if source is None:
        raise PermanentError("what this rule's trigger notices is not a file")
    return source


def reason_to_stop(state: SourceState, source: FileSource) -> Outcome | None:
    """Give the outcome unless the file is still the one that was noticed.

    Like ``source_outcome``, for steps that only want the file gone. If it is, whoever took
    it away, that is done: after a crash nobody knows whether it was the daemon itself.
    """
    if state is SourceState.GONE:
        return Outcome.done(f"{source.path} is no longer there", frees_event=True)
    return source_outcome(state, source)


async def foresee_all(
    calls: Sequence[Call[AnyAction]], look: Callable[[Call[AnyAction]], Foreseen]
) -> Sequence[Foreseen]:
    """Have a look at the disk for each call, off the loop."""

    def look_safely(call: Call[AnyAction]) -> Foreseen:
        try:
            return look(call)
        except PermanentError as error:
            return Foreseen.dead(f"would fail: {error}")

    return await to_thread.run_sync(lambda: [look_safely(call) for call in calls])


def disposal(source: FileSource, verb: str) -> Foreseen:
    """Say what a step would do that only wants the file gone."""
    if (stop := reason_to_stop(source.state(), source)) is not None:
        return Foreseen.of(stop)
    return Foreseen(f"would {verb} {source.path}")


def failure(doing: str, error: OSError) -> PermanentError | TemporaryError:
    """Turn what the system said into the error to raise: is it worth another try?"""
    text = f"{doing}: {error.strerror or error}"
    return PermanentError(text) if error.errno in _HOPELESS else TemporaryError(text)
