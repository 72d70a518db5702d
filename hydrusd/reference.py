"""The reference in docs/reference, made of the code: triggers, actions, filters, settings, hooks,
and what authors of plugins work with.

What a page says by hand and the code does differently misleads for years. So these pages are
made of the docstrings and fields that hydrusd itself works with, and a test fails as long as
they are not what this would write::

    python -m hydrusd.reference docs/reference
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from hydrusd.author_reference import author_pages
from hydrusd.daemon import load_plugins
from hydrusd.expressions import filters_told
from hydrusd.plugin import AnyAction, Trigger, hookspecs
from hydrusd.plugin.host import PluginHost
from hydrusd.rules import FILE_PARTS, settings

_MADE = (
    "<!-- Made of the code by `python -m hydrusd.reference docs/reference`; "
    "change the docstrings there. -->"
)


def pages() -> dict[str, str]:
    """Give each page of the reference by the name of its file."""
    host = load_plugins([])
    made: dict[str, Iterable[str]] = {
        "triggers.md": _triggers(host),
        "actions.md": _actions(host),
        "filters.md": _filters(host),
        "settings.md": _settings(),
        "hooks.md": _hooks(),
        **author_pages(),
    }
    return {name: "\n".join([_MADE, "", *lines]).rstrip() + "\n" for name, lines in made.items()}


def main(folder: Path) -> None:
    """Write all pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _triggers(host: PluginHost) -> Iterator[str]:
    yield from ("# Triggers", "", "What a rule waits for: one of these stands under `on`.", "")
    yield from _listed(host.triggers)
    for name, trigger in sorted(host.triggers.items()):
        yield from (f"## {name}", "", _prose(trigger), "")
        yield from _parameters(trigger)
        if trigger.gives is not None:
            names = ", ".join(f"`{each}`" for each in _names(trigger.gives, ""))
            yield from (f"Conditions and templates find: {names}.", "")


def _actions(host: PluginHost) -> Iterator[str]:
    yield from ("# Actions", "", "What a rule does: each step under `do` names one of these.", "")
    yield from _listed(host.actions)
    for name, action in sorted(host.actions.items()):
        yield from (f"## {name}", "", _prose(action), "")
        yield from _parameters(action)
        yield from (f"- {fact}" for fact in _facts(action))
        yield ""


def _facts(action: type[AnyAction]) -> Iterator[str]:
    if action.permissions:
        words = " and ".join(sorted(f"“{each.words(10**6)}”" for each in action.permissions))
        yield f"The access key needs {words}."
    if not action.needs_client:
        yield "Runs while Hydrus is away, too."
    if action.needs_files:
        yield "Works on the files of Hydrus that the job is about."
    if action.needs_source:
        yield "Reads the file that was noticed."
    if action.writes_into:
        yield "Waits while a disk is away to which it has written before."
    if action.disposes:
        yield "Takes the file away from where it was noticed, once all before it is durable."
    if action.needs_allowing:
        yield f"Off until the rules file says `allow: [{action.action}]`."
    if action.repeat_shows:
        yield "Where it is not known whether it was done, a person is asked; it is not done twice."
    yield "Can be undone." if action.can_undo() else f"Cannot be undone: {action.no_undo}."


def _filters(host: PluginHost) -> Iterator[str]:
    yield from ("# Filters", "")
    yield "A filter stands behind a value and a `|`, in conditions and in templates."
    yield from ("", "| filter | what it gives | example | gives |", "|---|---|---|---|")
    for name, told in filters_told().items():
        example = f"`{told.example}`".replace("|", r"\|") if told.example else ""
        gives = f"`{told.gives}`" if told.gives else ""
        yield f"| `{name}` | {told.words} | {example} | {gives} |"
    for name, function in sorted(host.filters.items()):
        words = (inspect.getdoc(function) or "").partition("\n")[0]
        yield f"| `{name}` | {words} | | |"


def _settings() -> Iterator[str]:
    yield from (
        "# Settings",
        "",
        "What a rules file says beside its rules, and what a rule says beside `on`, `if` and `do`.",
    )
    yield from ("", "`clients` gives several clients, each by a name, with what `client` has.", "")
    for name, model in FILE_PARTS.items():
        yield from (f"## {name}", "", _prose(model), "")
        yield from _parameters(model)


def _hooks() -> Iterator[str]:
    yield from (
        "# Hooks",
        "",
        "What a plugin can hook into. How to write one: [plugins](../plugins.md).",
    )
    for name, hook in vars(hookspecs).items():
        if name.startswith(f"{hookspecs.PROJECT}_") and inspect.isfunction(hook):
            yield from ("", f"## {name}", "", f"`{name}{_signature(hook)}`", "", _prose(hook))


def _signature(hook: Callable[..., object]) -> str:
    return f"({', '.join(inspect.signature(hook).parameters)})"


def _listed(named: Mapping[str, type[AnyAction | Trigger]]) -> Iterator[str]:
    for name, kind in sorted(named.items()):
        first = re.split(r"(?<=[.:])\s", _prose(kind), maxsplit=1)[0].rstrip(":")
        yield f"- [`{name}`](#{name}): {first}"
    yield ""


def _prose(documented: object) -> str:
    return inspect.getdoc(documented) or ""


def _parameters(model: type[BaseModel]) -> Iterator[str]:
    found = settings(model)
    if not found:
        yield from ("It has no parameters.", "")
        return
    yield from ("| parameter | what stands there | default | |", "|---|---|---|---|")
    for each in found:
        default = "needed" if each.required else f"`{each.default}`" if each.default else ""
        cells = (f"`{each.name}`", each.kind, default, _sentence(each.description))
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?", ")")) else f"{text}."


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _names(given: Mapping[str, object], prefix: str) -> Iterator[str]:
    for name, inner in given.items():
        if isinstance(inner, Mapping):
            yield from _names(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
