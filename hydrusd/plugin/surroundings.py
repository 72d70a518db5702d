"""What belongs to the whole process, and is no plugin's to change: put back, and told of.

The folder that hydrusd works in, its environment, where its log goes, what ``json.loads`` is: a
plugin that changes any of it changes it for all the others, and for hydrusd, which then fails
somewhere else. Nothing in Python keeps it from doing so. So it is looked after each plugin has
been imported, and while any is at work: what has been changed is put back as it was, and goes on
the account of whoever was at work. What is only added (a variable, an attribute, a filter that
passes over warnings) is left alone: libraries do that, and it harms nobody.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import json
import locale
import logging
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import structlog

_LEANED_ON: tuple[ModuleType | type, ...] = (
    *(asyncio, builtins, hashlib, json, logging, os, os.path, pathlib.Path, shutil, signal),
    *(socket, sqlite3, tempfile, threading, time),
)
_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not as it was: in words, and how it is put back."""

    words: str
    put_back: Callable[[], object]


class Surroundings:
    """How the process was when this was made; ``changes`` tell what is different by now."""

    def __init__(self) -> None:
        """Remember it as it is."""
        self._functions = [(owner, _callables(owner)) for owner in _LEANED_ON]
        self._folder = _folder()
        self._environment = dict(os.environ)
        self._recursion = sys.getrecursionlimit()
        self._locale = locale.setlocale(locale.LC_ALL)
        self._timeout = socket.getdefaulttimeout()
        root = logging.getLogger()
        self._handlers = list(root.handlers)
        self._levels = {each: each.level for each in (root, logging.getLogger("hydrusd"))}
        self._log = structlog.get_config()
        self._signals = {number: signal.getsignal(number) for number in _SIGNALS}
        self._errors = _errors_of_warnings()

    def put_back(self, *, imported: bool = False) -> list[str]:
        """Put back what is different; give what that was, in words.

        ``imported``: somebody has been imported, and nobody is at work. Else it may be one that
        has made warnings errors for a moment, to be stopped by one, and is right to.
        """
        told = []
        for change in self.changes(imported=imported):
            try:
                change.put_back()
            except Exception as error:  # noqa: BLE001 - it is told all the same
                told.append(f"{change.words} (and it cannot be put back: {type(error).__name__})")
            else:
                told.append(change.words)
        return told

    def changes(self, *, imported: bool = False) -> Iterator[Change]:
        """Give what is different; see ``put_back``."""
        for owner, functions in self._functions:
            now = vars(owner)
            for name, function in functions.items():
                if now.get(name) is not function:
                    words = f"{owner.__name__}.{name} was replaced"
                    yield Change(words, _setting(owner, name, function))
        if _folder() != self._folder:
            words = f"the folder that hydrusd works in was changed to {_folder()}"
            yield Change(words, lambda: os.chdir(self._folder))
        gone = [n for n, v in self._environment.items() if os.environ.get(n) != v]
        if gone:
            words = f"variables of the environment were changed: {', '.join(sorted(gone)[:5])}"
            yield Change(words, lambda: os.environ.update(self._environment))
        yield from self._log_changes()
        yield from self._other_changes()
        if imported and _errors_of_warnings() - self._errors:
            yield Change("warnings were made errors", self._without_errors)

    def _log_changes(self) -> Iterator[Change]:
        root = logging.getLogger()
        if any(each not in root.handlers for each in self._handlers):
            yield Change(
                "the log's handlers were taken away",
                lambda: setattr(root, "handlers", [*self._handlers, *_new(root, self._handlers)]),
            )
        for logger, level in self._levels.items():
            if logger.level != level:
                words = f"the level of the log of {logger.name} was changed"
                yield Change(words, _calling(logger.setLevel, level))
        if root.manager.disable:
            yield Change("the log was turned off", lambda: logging.disable(logging.NOTSET))
        if structlog.get_config() != self._log:
            yield Change("the log was set up anew", lambda: structlog.configure(**self._log))

    def _other_changes(self) -> Iterator[Change]:
        if threading.current_thread() is threading.main_thread():  # only there can they be set
            for number, handler in self._signals.items():
                if signal.getsignal(number) is not handler and handler is not None:
                    words = f"the handler of {signal.Signals(number).name} was replaced"
                    yield Change(words, _calling(signal.signal, number, handler))
        if sys.getrecursionlimit() != self._recursion:
            words = "the recursion limit was changed"
            yield Change(words, lambda: sys.setrecursionlimit(self._recursion))
        if locale.setlocale(locale.LC_ALL) != self._locale:
            words = "the locale was changed"
            yield Change(words, lambda: locale.setlocale(locale.LC_ALL, self._locale))
        if socket.getdefaulttimeout() != self._timeout:
            words = "the default timeout of sockets was changed"
            yield Change(words, lambda: socket.setdefaulttimeout(self._timeout))

    def _without_errors(self) -> None:
        kept = [each for each in warnings.filters if each[0] != "error" or each in self._errors]
        warnings.filters[:] = kept  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined] # noqa: SLF001 - or what is cached counts


def _callables(owner: ModuleType | type) -> Mapping[str, Any]:
    return {n: v for n, v in vars(owner).items() if n[0] != "_" and callable(v)}


def _folder() -> str:
    try:
        return str(pathlib.Path.cwd())
    except OSError:
        return ""  # somebody has removed it


def _errors_of_warnings() -> set[Any]:
    return {each for each in warnings.filters if each[0] == "error"}


def _new(logger: logging.Logger, known: list[logging.Handler]) -> list[logging.Handler]:
    return [each for each in logger.handlers if each not in known]


def _setting(owner: object, name: str, value: object) -> Callable[[], object]:
    return lambda: setattr(owner, name, value)


def _calling(function: Callable[..., object], *given: object) -> Callable[[], object]:
    return lambda: function(*given)
