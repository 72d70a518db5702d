"""``hydrusd plugins``, and the commands that plugins add."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console

from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._telling import indented, line, some, took
from hydrusd.cli._terminal import configure_logs, make_console
from hydrusd.daemon import LEDGER_FILE, PLUGINS_MEMORY, load_plugins, load_plugins_of
from hydrusd.errors import ConfigError, LedgerError
from hydrusd.ledger import open_to_look
from hydrusd.plugin import API_VERSION
from hydrusd.plugin.host import BUILT_IN, LoadedPlugin, PluginFault, PluginHost
from hydrusd.redaction import redact_tree

_BROUGHT = {
    "actions": "actions",
    "triggers": "triggers",
    "filters": "filters",
    "sidecar_formats": "sidecar formats",
    "commands": "commands",
}


def show_plugins(
    rules: Path | None,
    state_dir: Path | None,
    *,
    safe_mode: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Show what is loaded from where, what was left out, and what each has cost so far."""
    configure_logs(level="critical", as_json=False)  # what would be logged is shown here
    host = _host(rules, safe_mode=safe_mode)
    since, accounts = _accounts(state_path(state_dir) / LEDGER_FILE)
    if as_json:
        click.echo(json.dumps(redact_tree(_as_data(host, since, accounts)), indent=2))
        return
    console = make_console()
    shown = [p for p in host.plugins if everything or p.kind != BUILT_IN]
    for plugin in shown:
        _tell(console, plugin, accounts.get(plugin.name))
    for fault in host.faults:
        _tell_fault(console, fault)
    hidden = len(host.plugins) - len(shown)
    built_in = f"{some(hidden, 'built-in plugin')} not shown (--all); " if hidden else ""
    left_out = f"{len(host.faults)} left out; " if host.faults else ""
    version = ".".join(map(str, API_VERSION))
    line(console, f"{built_in}{left_out}author API {version}")
    if since:
        line(console, f"what they cost is counted since {since[:16].replace('T', ' ')} UTC")


def _host(rules: Path | None, *, safe_mode: bool) -> PluginHost:
    try:
        path = rules_path(rules)
    except ConfigError:
        return load_plugins([], safe_mode=safe_mode)
    return load_plugins_of(path, safe_mode=safe_mode)


def _accounts(ledger: Path) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """Give since when the last daemon counts, and what its plugins have cost."""
    if not ledger.is_file():
        return "", {}
    with suppress(LedgerError):
        opened = open_to_look(ledger)
        try:
            kept = cast("dict[str, Any]", opened.recall(PLUGINS_MEMORY, PLUGINS_MEMORY))
        finally:
            opened.close()
        return str(kept.get("since") or ""), kept.get("accounts") or {}
    return "", {}


def _tell(console: Console, plugin: LoadedPlugin, account: Mapping[str, Any] | None) -> None:
    origin = "" if plugin.kind == BUILT_IN else f" {plugin.origin}"
    line(console, f"{plugin.name}  ", f"{plugin.kind}{origin}")
    for attribute, words in _BROUGHT.items():
        if names := getattr(plugin, attribute):
            indented(console, f"{words}: {', '.join(names)}", 4)
    hooks = [hook for hook in plugin.hooks if not hook.startswith("hydrusd_register_")]
    if hooks:
        indented(console, f"observes: {', '.join(hooks)}", 4)
    cost = [f"imported in {plugin.import_seconds * 1000:.0f} ms"]
    if account:
        cost += [f"{some(account['calls'], 'call')} in {took(account['seconds']) or '0.0 s'}"]
        for count, words in (
            ("errors", "error"),
            ("hanging", "call that never came back"),
            ("blocked", "time it blocked everything"),
            ("printed", "printed line"),
        ):
            if account[count]:
                cost.append(_counted(account[count], words))
    if plugin.kind != BUILT_IN:
        indented(console, "; ".join(cost), 4)
    if account and account["last_error"]:
        indented(console, f"last error: {account['last_error']}", 4)


def _counted(count: int, words: str) -> str:
    noun, _, rest = words.partition(" ")
    return f"{some(count, noun)} {rest}".rstrip()


def _tell_fault(console: Console, fault: PluginFault) -> None:
    line(console, f"{fault.plugin}  LEFT OUT  ", fault.origin)
    indented(console, fault.message, 4)


def _as_data(
    host: PluginHost, since: str, accounts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "api_version": list(API_VERSION),
        "plugins": [{**asdict(p), "cost": accounts.get(p.name)} for p in host.plugins],
        "left_out": [
            {
                "plugin": fault.plugin,
                "origin": fault.origin,
                "message": fault.message,
                "deliberate": fault.deliberate,
            }
            for fault in host.faults
        ],
        "counted_since": since or None,
    }


def plugin_command(name: str) -> click.Command | None:
    """Give a command that a plugin adds; None where none does."""
    configure_logs(level="error", as_json=False)
    return cast("click.Command | None", _host(None, safe_mode=False).commands.get(name))
