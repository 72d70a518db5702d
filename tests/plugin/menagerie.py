"""Plugins that do all the wrong there is, and the process of a daemon that has them all."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hydrusd.cli import _stopping, main
from hydrusd.engine import lane
from hydrusd.plugin import blocking, calling, host

HEAD = """\
import asyncio, os, sys, threading, time
from typing import ClassVar
from hydrusd.plugin import Action, Outcome, SetAction, Trigger, action, hookimpl

"""


@dataclass(frozen=True)
class Beast:
    """A bad plugin, what a rule says that uses it, and how it has to be named.

    ``left_out`` is told by `hydrusd plugins`, ``error`` as the last error on its account,
    ``parked`` as the reason why its rule waits, ``detail`` as what its job says.
    """

    body: str
    step: str = "{name}:"
    trigger: str = "watch_folder: {{path: inbox, settle: 10ms, scan_every: 1s}}"
    condition: str = ""
    left_out: str = ""
    parked: str = ""
    error: str = ""
    detail: str = ""
    waits: str = ""
    logged: str = ""


def acting(code: str, *, sync: bool = False, limit: float | None = None) -> str:
    """An action that does this."""
    says = f"    time_limit_seconds: ClassVar[float | None] = {limit}\n" if limit else ""
    head = "def" if sync else "async def"
    inner = "\n".join(f"        {line}" for line in code.splitlines())
    return (
        f"class Beast(Action):\n    action: ClassVar[str] = NAME\n{says}\n"
        f"    {head} run(self, call):\n{inner}\n\n\n"
        "@hookimpl\ndef hydrusd_register_actions(register):\n    register(Beast)\n"
    )


FINE = acting("return Outcome.done()")

BEASTS = {
    # --- what cannot be loaded ---------------------------------------------------------------
    "syntax": Beast(FINE + "def broken(:\n", left_out="SyntaxError", parked="SyntaxError"),
    "lacking": Beast(
        "import no_such_library\n" + FINE,
        left_out="No module named 'no_such_library'",
        parked="No module named 'no_such_library'",
    ),
    "leaving": Beast(
        FINE + "sys.exit(4)\n", left_out="called sys.exit(4)", parked="called sys.exit(4)"
    ),
    "interrupting": Beast(
        FINE + "raise KeyboardInterrupt\n",
        left_out="raised KeyboardInterrupt",
        parked="raised KeyboardInterrupt",
    ),
    "sleepy": Beast(
        FINE + "threading.Event().wait()\n",
        left_out="did not come back within 1 s (sleepy.py, line",
        parked="did not come back within 1 s",
    ),
    "misspelt": Beast(
        FINE + "@hookimpl\ndef hydrusd_job_finised(entry):\n    pass\n",
        left_out="unknown hook 'hydrusd_job_finised'",
        parked="unknown hook 'hydrusd_job_finised'",
    ),
    "demanding": Beast(
        FINE + "@hookimpl\ndef hydrusd_job_finished(entry, mood):\n    pass\n",
        left_out="mood",
        parked="mood",
    ),
    "thieving": Beast(
        FINE + "@action\ndef add_file(call):\n    return 'mine'\n",
        left_out="action 'add_file' is taken already",
        parked="action 'add_file' is taken already",
    ),
    "posing": Beast(
        FINE.replace("register(Beast)", "register(dict)"),
        left_out="is registered as action but is no subclass",
        parked="is registered as action but is no subclass",
    ),
    "futuristic": Beast(
        "hydrusd_api = (99, 0)\n" + FINE,
        left_out="written for version 99.0 of the author API",
        parked="written for version 99.0",
    ),
    "public": Beast(
        FINE, left_out="everyone on this machine may write", parked="everyone on this machine"
    ),
    "filterless": Beast(
        "@hookimpl\ndef hydrusd_register_filters(register):\n    register('growl', len)\n1 / 0\n",
        step="log: {{message: hello}}",
        condition="file.name | growl > 3",
        left_out="ZeroDivisionError",
        parked="there is no filter 'growl'",
    ),
    # --- what goes wrong at work -------------------------------------------------------------
    "raising": Beast(
        acting("raise ValueError('no good')"),
        error="ValueError: no good (plugin raising: raising.py, line",
        detail="ValueError: no good",
    ),
    "exiting": Beast(
        acting("sys.exit(3)", sync=True),
        error="it called sys.exit(3) (plugin exiting: exiting.py, line",
        detail="it called sys.exit(3)",
    ),
    "exiting_loop": Beast(
        acting("sys.exit(3)"),
        error="it called sys.exit(3) (plugin exiting_loop: exiting_loop.py, line",
        detail="it called sys.exit(3)",
    ),
    "breaking_out": Beast(
        acting("class Out(BaseException): pass\nraise Out('free')"),
        error="it raised Out: free",
        detail="it raised Out: free",
    ),
    "cancelling": Beast(
        acting("raise asyncio.CancelledError"),
        detail="it was cancelled, and not by hydrusd",
        error="it was cancelled, and not by hydrusd",
    ),
    "babbling": Beast(acting("return {'done': True}"), detail="gave dict for an outcome"),
    "silent": Beast(
        "class Beast(SetAction):\n    action: ClassVar[str] = NAME\n\n    @classmethod\n"
        "    async def run_set(cls, calls):\n        pass\n\n\n"
        "@hookimpl\ndef hydrusd_register_actions(register):\n    register(Beast)\n",
        detail="silent did not say how it ended",
    ),
    "hanging_thread": Beast(
        acting("threading.Event().wait()", sync=True, limit=2.0),
        error="did not come back within 2 s",
        detail="hanging_thread of plugin hanging_thread did not come back within 2 s",
        logged="has finished nothing for",
    ),
    "hanging_loop": Beast(
        acting("await asyncio.Event().wait()", limit=2.0),
        error="did not come back within 2 s",
        detail="hanging_loop of plugin hanging_loop did not come back within 2 s",
        logged="has finished nothing for",
    ),
    "clinging": Beast(
        acting(
            "while True:\n    try:\n        await asyncio.sleep(3600)\n"
            "    except asyncio.CancelledError:\n        pass",
            limit=2.0,
        ),
        error="did not come back within 2 s",
        detail="clinging of plugin clinging did not come back within 2 s",
    ),
    "blocking": Beast(
        acting("time.sleep(1.8)\nreturn Outcome.done('at last')"),
        error="it blocks the event loop, so that everything waits (blocking.py, line",
        detail="at last",
        logged="plugin blocking: it blocks the event loop",
    ),
    "blocking_ever": Beast(
        acting("while True:\n    pass"),
        error="it was broken off, because it blocked the event loop",
        detail="it was broken off, because it blocked the event loop",
    ),
    "printing": Beast(
        acting("print('over', 'here')\nreturn Outcome.done('printed')"),
        detail="printed",
        logged="plugin printing printed: over here",
    ),
    "deaf_observer": Beast(
        FINE + "@hookimpl\ndef hydrusd_job_finished(entry):\n    threading.Event().wait()\n",
        logged="plugin deaf_observer does not come to an end",
    ),
    "sulking_observer": Beast(
        FINE + "@hookimpl\ndef hydrusd_jobs_made(entry):\n    raise LookupError('not mine')\n",
        error="LookupError: not mine (sulking_observer.py, line",
        logged="an observer failed: plugin sulking_observer: LookupError: not mine",
    ),
    "raising_trigger": Beast(
        "class Beast(Trigger):\n    trigger: ClassVar[str] = NAME\n\n"
        "    async def run(self, context):\n        raise OSError('no such luck')\n\n\n"
        "@hookimpl\ndef hydrusd_register_triggers(register):\n    register(Beast)\n",
        step="log: {{message: hello}}",
        trigger="{name}",
        waits="OSError: no such luck (plugin raising_trigger: raising_trigger.py, line",
        error="trigger raising_trigger: OSError: no such luck",
    ),
    "raising_filter": Beast(
        "@hookimpl\ndef hydrusd_register_filters(register):\n"
        "    register('howl', lambda text: text.no_such)\n",
        step="log: {{message: hello}}",
        condition="file.name | howl > 3",
        detail="the filter 'howl' failed: AttributeError",
    ),
    # --- what changes things for all, or gives what nobody can use ----------------------------
    "rewiring": Beast(
        FINE + "import json\njson.loads = lambda *_, **__: {}\nos.chdir('/')\n",
        error="at its import it has changed what belongs to all, which was put back: json.loads",
    ),
    "deafening": Beast(
        acting(
            "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nreturn Outcome.done()"
        ),
        error="the handler of SIGTERM was replaced",
        logged="plugin deafening: it has changed what belongs to all",
    ),
    "usurping": Beast(
        acting("asyncio.get_running_loop().stop()"),
        error="plugin usurping wants to stop the event loop of hydrusd (usurping.py, line",
        detail="wants to stop the event loop",
    ),
    "misshapen": Beast(
        acting("return Outcome.done('x', values=[1])"),
        detail="an outcome that cannot be kept: its values are a list",
    ),
    "orphaning": Beast(
        acting(
            "import subprocess\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
            "quiet = subprocess.DEVNULL\ncode = 'import time; time.sleep(3)'\n"
            "subprocess.Popen([sys.executable, '-c', code], stdout=quiet, stderr=quiet)\n"
            "return Outcome.done('left both')",
            sync=True,
        ),
        detail="left both",
        logged="a thread does not come to an end, in a plugin or",
    ),
    "hungry": Beast(
        acting("kept = bytearray(4 * 1024**3)\nreturn Outcome.done(str(len(kept)))", sync=True),
        detail="wants more than 128 MB of memory",
        error="wants more than 128 MB of memory",
    ),
    "suicidal": Beast(
        acting("os._exit(9)", sync=True),
        detail="the process of plugin suicidal died (exit code 9)",
    ),
}
ISOLATED = ("hungry", "suicidal")


def source(name: str) -> str:
    """The file of a beast."""
    return HEAD + BEASTS[name].body.replace("NAME", repr(name))


def rules(client: str) -> str:
    """The rules that use them, and one that uses none; that one is the last."""
    lines = [client, "plugins:", "  isolate:"]
    lines += [f"    {name}: 128 MB" for name in ISOLATED]
    lines += ["rules:"]
    for name, beast in BEASTS.items():
        lines += [f"  - name: {name}", f"    on: {{{beast.trigger.format(name=name)}}}"]
        if "{" not in beast.trigger.format(name=name):
            lines[-1] = f"    on: {beast.trigger.format(name=name)}"
        lines += [f"    if: {beast.condition}"] if beast.condition else []
        lines += ["    do:", f"      - {beast.step.format(name=name)}"]
    lines += [
        "  - name: good",
        "    on: {watch_folder: {path: inbox, settle: 10ms, scan_every: 1s}}",
        "    do:",
        "      - add_file:",
        '      - add_tags: {my tags: ["good"]}',
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    # As patient as a test may be, and not as a daemon is.
    host.IMPORT_SECONDS = 1.0
    lane.STUCK_SECONDS = 1.0
    calling.GRACE_SECONDS = 0.5
    blocking.BEAT_SECONDS = 0.25
    blocking.BLOCKED_SECONDS = 1.0
    blocking.BREAK_OFF_SECONDS = 2.0
    _stopping.STOPPING_SECONDS = 20.0
    sys.exit(main())
