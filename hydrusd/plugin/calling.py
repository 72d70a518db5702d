"""How code of plugins is called, so that it can do what it likes and harm only itself.

A thread that does not come back cannot be ended, only left behind: nobody waits for it any
more, and its plugin's account says so. Cancelling gives a thread a little time to finish what
it has begun, because half a copied file helps nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
import structlog
from anyio import to_thread
from anyio.abc import TaskStatus

from hydrusd.errors import PluginError, text_of
from hydrusd.plugin.accounts import MOST_HANGING, Accounts
from hydrusd.plugin.blocking import LoopBlocked

GRACE_SECONDS = 5.0
"""How long a thread may take to come to an end when it is to be cancelled."""

LET_GO_SECONDS = 1.0
"""How long what only looks may take to come to an end when it is to be cancelled."""

LOOK_SECONDS = 60.0
"""How long a plugin may take where it only looks: somebody is waiting for a plan."""

PATIENCE_SECONDS = 30.0
"""How long what only looks may take before it is asked whether the disk still answers."""

BLOCKER_RESTS_SECONDS = 600.0
"""When what blocked everything is tried again."""
PLUGIN_TASK = "plugin "
"""How the names of tasks begin in which a plugin is at work."""

T = TypeVar("T")

log = structlog.get_logger("hydrusd.plugins")


class Misbehaviour(Exception):
    """A plugin did what no code should: it raised what is not meant for it.

    ``delay_seconds`` is when to try again, where that costs all others a while.
    """

    def __init__(self, message: str, *, delay_seconds: float | None = None) -> None:
        self.delay_seconds = delay_seconds
        super().__init__(message)


class Silence(Exception):
    """A disk does not answer, or its server. The text says which."""


async def contained(work: Callable[[], Awaitable[T]]) -> T:
    """Await what an action or a trigger does. What would reach through all boundaries is an error.

    Nothing may look like a cancellation that is none: whoever waits would wait for ever.
    """
    try:
        return await work()
    except anyio.get_cancelled_exc_class() as error:
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise Misbehaviour("it was cancelled, and not by hydrusd") from error
    except GeneratorExit:
        raise
    except BaseException as error:
        if isinstance(error, Exception) and text_of(error) is not None:
            raise
        raise _misbehaviour(error) from _named(error)


def _named(error: BaseException) -> BaseException | None:
    """Give an exception as a cause, if it can be told of."""
    return None if text_of(error) is None else error


def _misbehaviour(error: BaseException) -> Misbehaviour:
    if isinstance(error, SystemExit):
        return Misbehaviour(f"it called sys.exit({error.code!r})")
    if isinstance(error, LoopBlocked):
        blocked = "it was broken off, because it blocked the event loop"
        return Misbehaviour(blocked, delay_seconds=BLOCKER_RESTS_SECONDS)
    text = text_of(error)
    if text is None:
        said = f"it raised {type(error).__name__}, which fails when it is asked what it says"
        # Where it was raised is told all the same; by whom it is known.
        return Misbehaviour(said).with_traceback(error.__traceback__)
    return Misbehaviour(f"it raised {type(error).__name__}{f': {text}' if text else ''}")


async def apart(
    work: Callable[[], Coroutine[Any, Any, T]],
    *,
    accounts: Accounts,
    plugin: str | None,
) -> T:
    """Await what a plugin does, in a task that is left behind if it does not let itself be ended.

    What hydrusd brings itself (``plugin`` is None) needs no task of its own.
    """
    if plugin is None:
        return await contained(work)

    left = False

    async def inside() -> T:
        # Caught in here: of some the loop would take notice by itself, and end.
        try:
            return await work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if isinstance(error, Exception) and text_of(error) is not None:
                raise
            if left and isinstance(error, GeneratorExit):
                raise  # it is thrown away
            raise _misbehaviour(error) from _named(error)

    task = asyncio.get_running_loop().create_task(inside(), name=f"{PLUGIN_TASK}{plugin}")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as error:
        if not task.done():
            task.cancel()
            with anyio.move_on_after(GRACE_SECONDS, shield=True):
                await asyncio.wait([task])
        if not task.done():
            accounts.hangs(plugin, +1)
            task.add_done_callback(partial(_came_back, accounts, plugin))
            left = True
            _leave_behind(task)
        elif not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody did
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise Misbehaviour("it was cancelled, and not by hydrusd") from error
    finally:
        accounts.look_around(plugin)


def _leave_behind(task: asyncio.Task[Any]) -> None:
    """Have nobody wait for a task: when all else is over, the event loop would."""
    log.warning(f"{task.get_name()}: does not come to an end; left behind")
    asyncio._unregister_task(task)  # noqa: SLF001 - for those who extend asyncio, and told there
    task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it is known


async def looking(
    work: Callable[[], Coroutine[Any, Any, T]],
    *,
    accounts: Accounts,
    plugin: str | None,
    name: str,
    silence: Callable[[], Awaitable[str]] | None = None,
) -> T:
    """Await what only looks: a plan, a preview. ``name`` is that of the action or trigger.

    Raises ``Misbehaviour`` where a plugin does not come back in time, and leaves it behind. What
    hydrusd brings itself may take its time, as long as the disks answer, see ``while_answered``.
    """
    if plugin is None and silence is not None:
        return await while_answered(work, silence, name=name)
    with anyio.move_on_after(LOOK_SECONDS if plugin is not None else None):
        return await apart(work, accounts=accounts, plugin=plugin)
    assert plugin is not None
    said = f"{name} of plugin {plugin} did not say within {LOOK_SECONDS:g} s what it would do"
    accounts.failed(plugin, said)
    log.error(said, plugin=plugin)
    raise Misbehaviour(said)


async def while_answered(
    work: Callable[[], Coroutine[Any, Any, T]],
    silence: Callable[[], Awaitable[str]],
    *,
    name: str,
) -> T:
    """Await what hydrusd itself does before disks, however long that takes.

    ``silence`` is asked now and then what does not answer. Where it names something, the work is
    left behind, because the system does not let go of it, and ``Silence`` is raised.
    """
    task = asyncio.get_running_loop().create_task(contained(work), name=f"look of {name}")
    try:
        while not (await asyncio.wait([task], timeout=PATIENCE_SECONDS))[0]:
            if said := await silence():
                raise Silence(said)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with anyio.move_on_after(LET_GO_SECONDS, shield=True):
                await asyncio.wait([task])
            task.add_done_callback(_looked_at)
            if not task.done():
                _leave_behind(task)


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Look at how a task ended, or asyncio complains that nobody did."""
    if not task.cancelled():
        task.exception()


def _came_back(accounts: Accounts, plugin: str, task: asyncio.Task[Any]) -> None:
    accounts.hangs(plugin, -1)
    _looked_at(task)


async def in_thread(
    function: Callable[..., T],
    *given: object,
    accounts: Accounts,
    plugin: str | None,
) -> T:
    """Call a function in a thread. A cancellation waits for it a little, and then goes on.

    Raises PluginError for a plugin of which too many threads have never come back.
    """
    if plugin is not None and (hanging := accounts.of(plugin).hanging) >= MOST_HANGING:
        raise PluginError(
            plugin, f"{hanging} of its calls have never come back; restart hydrusd once mended"
        )
    call = _Call(function, given, accounts, plugin)
    result: list[T] = []
    failure: BaseException | None = None
    scope = anyio.CancelScope(shield=True)

    async def hurry(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            scope.deadline = anyio.current_time() + GRACE_SECONDS

    # What it raises must not come out of the group, which would wrap it.
    async with anyio.create_task_group() as tasks:
        await tasks.start(hurry)
        with scope:
            try:
                result.append(await to_thread.run_sync(call, abandon_on_cancel=True))
            except anyio.get_cancelled_exc_class():
                call.leave()
                raise
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
                if not isinstance(error, Exception) or text_of(error) is None:
                    failure = _misbehaviour(error)
                    failure.__cause__ = _named(error)
        if result or failure is not None:
            tasks.cancel_scope.cancel()
    if plugin is not None:
        accounts.look_around(plugin)
    if failure is not None:
        raise failure
    if not result:
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise Misbehaviour("its thread was cancelled, and not by hydrusd")
    return result[0]


class _Call(Generic[T]):
    """A call in a thread, which may outlast whoever waits for it."""

    def __init__(
        self,
        function: Callable[..., T],
        given: Sequence[object],
        accounts: Accounts,
        plugin: str | None,
    ) -> None:
        self._function = function
        self._given = given
        self._accounts = accounts
        self._plugin = plugin
        self._lock = threading.Lock()
        self._over = False
        self._left = False

    def __call__(self) -> T:
        try:
            return self._function(*self._given)
        finally:
            with self._lock:
                self._over = True
                if self._left and self._plugin is not None:
                    self._accounts.hangs(self._plugin, -1)

    def leave(self) -> None:
        """Say that nobody waits for it any more."""
        with self._lock:
            if not self._over and self._plugin is not None:
                self._left = True
                self._accounts.hangs(self._plugin, +1)
