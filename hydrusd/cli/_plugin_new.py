"""``hydrusd plugin new``."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from hydrusd.cli._scaffold import files_of
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.daemon import load_plugins
from hydrusd.errors import HydrusdError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_new_plugin(name: str, folder: Path | None, *, package: bool) -> None:
    """Write the files of a new plugin; into a folder that is new or empty, or none at all."""
    configure_logs(level="error")
    _check_name(name)
    where = folder or Path(name)
    if where.exists() and (not where.is_dir() or any(where.iterdir())):
        raise HydrusdError(
            f"{where} is there already; nothing was written. Take another place with --to."
        )
    files = files_of(name, package=package)
    try:
        for path, text in files.items():
            target = where / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise HydrusdError(f"{where} cannot be written to: {error.strerror or error}") from error
    click.echo(plain(f"Wrote {where}:"))
    for path in files:
        click.echo(plain(f"  {path}"))
    source = next(iter(files))
    click.echo()
    click.echo(plain(f"The plugin is {where / source}. Try it, change it, try it again:"))
    if package:
        click.echo(plain(f'  pip install --editable "{where}[test]"'))
    click.echo(plain(f"  hydrusd plugin test {where}"))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        fitting = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        usable = _NAME.fullmatch(fitting) and not keyword.iskeyword(fitting)
        hint = f": {fitting}?" if usable else ", like tag_by_size"
        raise click.BadParameter(
            f"{name!r} is no name for a step: it wants lower-case letters, digits and _{hint}",
            param_hint="NAME",
        )
    if name in load_plugins([]).actions:
        raise click.BadParameter(
            f"there is an action {name!r} already, and names are given once", param_hint="NAME"
        )
