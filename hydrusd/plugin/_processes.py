"""Running a program: no shell, a bounded time, bounded output, and none of it left behind.

A program may start others. All of them are one group, so that stopping it stops them too.
What they print beyond what is kept is read and dropped: a full pipe would stop them for ever.

Everything in hydrusd that starts a program does so here. What it prints is given as it came:
whoever puts it into an outcome need not redact it, the ledger and the log do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process

from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.redaction import redact

KEPT_BYTES = 64 * 1024
GRACE_SECONDS = 2.0
"""How long a program may take to stop by itself when it is told to."""
LINGER_SECONDS = 1.0
"""How long is read on after the end: a program left behind may hold the pipe open."""

_LASTING = frozenset({errno.E2BIG, errno.EACCES, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOEXEC})
_BATCH = frozenset({".bat", ".cmd"})
# What programs of each system take for granted. Nothing in here is anybody's key.
_NAMES = (
    "APPDATA COMSPEC DBUS_SESSION_BUS_ADDRESS DISPLAY HOME HOMEDRIVE HOMEPATH LANG "
    "LANGUAGE LOCALAPPDATA LOGNAME NUMBER_OF_PROCESSORS OS PATH PATHEXT "
    "PROCESSOR_ARCHITECTURE PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) SHELL SYSTEMDRIVE "
    "SYSTEMROOT TEMP TMP TMPDIR TZ USER USERNAME USERPROFILE WAYLAND_DISPLAY WINDIR "
    "XAUTHORITY XDG_RUNTIME_DIR"
)
_BASICS = frozenset(_NAMES.split())
_TOLD_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended. ``exit_code`` is None where its time was up; signals are negative.

    ``stdout`` is its beginning, ``stderr`` its end; ``whole`` says that nothing of ``stdout``
    was dropped.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    whole: bool

    @property
    def story(self) -> str:
        """How it ended and the end of what it said, in one line."""
        if self.exit_code is None:
            how = "stopped, because its time was up"
        elif self.exit_code < 0:
            how = f"killed by signal {-self.exit_code}"
        else:
            how = f"exit code {self.exit_code}"
        # Whole, or half a secret could be left at the start.
        said = redact((self.stderr.strip() or self.stdout).decode("utf-8", "replace"))
        end = " ".join(said.split())[-_TOLD_CHARACTERS:]
        return f"{how}: {end}" if end else how


def program_environment(*, whole: bool = False) -> dict[str, str]:
    """Give the environment to start a program with: what every program takes for granted.

    ``whole`` gives all of hydrusd's own, but for the secrets that it knows.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (whole or name.upper() in _BASICS or name.startswith("LC_")) and redact(value) == value
    }


def find_program(
    program: str, folder: Path, environment: Mapping[str, str] | None = None
) -> str | None:
    """Give the path of a program, None where there is none that could be run.

    One with a folder in its name is looked for from ``folder`` on, others where the
    environment's ``PATH`` leads.
    """
    if environment is None:
        environment = os.environ
    if os.path.dirname(program):  # noqa: PTH120 - "./x" and "x" differ; for pathlib they do not
        path = folder / Path(program).expanduser()
        return shutil.which(str(path))
    return shutil.which(program, path=environment.get("PATH", os.defpath))


async def run_program(
    command: Sequence[str],
    *,
    folder: Path,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    most_bytes: int = KEPT_BYTES,
) -> ProgramEnd:
    """Run a program in a folder, to its end or as long as it may.

    ``command`` is the program and its arguments; there is no shell. Without an ``environment``
    it gets that of ``program_environment``. ``most_bytes`` of its ``stdout`` are kept. When its
    time is up, it is stopped with all that it has started.

    Raises PermanentError or TemporaryError where it could not be started. Cancelled, it stops
    the program before it gives way.
    """
    if environment is None:
        environment = program_environment()
    process = await _started(command, folder, environment, stdin)
    out, err = _Beginning(most_bytes), _End()
    try:
        with anyio.move_on_after(timeout_seconds) as in_time:
            async with anyio.create_task_group() as tasks:
                assert process.stdout is not None
                assert process.stderr is not None
                tasks.start_soon(_drain, process.stdout, out)
                tasks.start_soon(_drain, process.stderr, err)
                if stdin is not None:
                    tasks.start_soon(_feed, process, stdin)
                await process.wait()
                tasks.cancel_scope.deadline = anyio.current_time() + LINGER_SECONDS
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                await _stop(process)
            await process.aclose()
    code = None if in_time.cancelled_caught else process.returncode
    return ProgramEnd(code, bytes(out.kept), bytes(err.kept), out.whole)


async def _started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: bytes | None
) -> Process:
    program = find_program(command[0], folder, environment)
    if program is None:
        raise PermanentError(f"there is no program {command[0]!r} that could be run")
    if sys.platform == "win32" and Path(program).suffix.lower() in _BATCH:
        raise PermanentError(
            f"{command[0]!r} is a batch file: a shell would read it, and take apart what file "
            "names hold; name the program that it starts"
        )
    if not await anyio.Path(folder).is_dir():
        raise PermanentError(f"there is no folder {folder}")
    try:
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            own_group: dict[str, int] = {"creationflags": flags}
        else:
            own_group = {"start_new_session": True}
        return await anyio.open_process(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            cwd=folder,
            env=environment,
            **own_group,  # type: ignore[arg-type]
        )
    except ValueError as error:  # a NUL in an argument, say
        raise PermanentError(f"{command[0]} cannot be started: {error}") from error
    except OSError as error:
        text = f"{command[0]} cannot be started: {error.strerror or error}"
        raise (PermanentError if error.errno in _LASTING else TemporaryError)(text) from error


async def _feed(process: Process, stdin: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.send(stdin)  # whether it reads that is its own affair
    with contextlib.suppress(OSError):
        await process.stdin.aclose()


async def _drain(stream: ByteReceiveStream, kept: _Beginning | _End) -> None:
    with contextlib.suppress(anyio.BrokenResourceError):
        async for piece in stream:
            kept.take(piece)


async def _stop(process: Process) -> None:
    """Stop the program and all that it started."""
    await _tell(process, forcibly=False)
    with anyio.move_on_after(GRACE_SECONDS):
        await process.wait()
    await _tell(process, forcibly=True)
    with anyio.move_on_after(GRACE_SECONDS):
        await process.wait()


async def _tell(process: Process, *, forcibly: bool) -> None:
    if sys.platform == "win32":
        # There is no asking on Windows that a program without a window would hear.
        if not forcibly:
            return
        taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        with contextlib.suppress(OSError):
            await anyio.run_process(
                [str(taskkill), "/PID", str(process.pid), "/T", "/F"], check=False
            )
        return
    # The group is there as long as any of its programs is, so that its number is no other's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL if forcibly else signal.SIGTERM)


class _Beginning:
    """Keeps the first bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.kept = bytearray()
        self.whole = True
        self._most_bytes = most_bytes

    def take(self, piece: bytes) -> None:
        room = self._most_bytes - len(self.kept)
        self.kept += piece[:room]
        self.whole = self.whole and len(piece) <= room


class _End:
    """Keeps the last bytes."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def take(self, piece: bytes) -> None:
        self.kept += piece
        del self.kept[:-KEPT_BYTES]
