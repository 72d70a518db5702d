"""``hydrusd simulator``."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import click

from hydrusd.errors import HydrusdError
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, SimulatorConfig, run


def run_simulator(
    host: str,
    port: int,
    *,
    api_version: int,
    access_key: str | None,
    state_dir: Path | None,
    commit_seconds: float,
    import_seconds: float,
) -> None:
    """Serve until stopped; what was not committed by then is committed."""
    key = (access_key or DEFAULT_ACCESS_KEY).lower()
    if len(key) != 64 or set(key) - set("0123456789abcdef"):
        raise click.BadParameter("must be 64 hexadecimal digits", param_hint="--access-key")
    config = SimulatorConfig(
        api_version=api_version,
        access_keys={key: Permissions(permits_everything=True)},
        state_dir=state_dir,
        commit_seconds=commit_seconds,
        import_seconds=import_seconds,
    )
    listens = False

    def ready(url: str) -> None:
        nonlocal listens
        listens = True
        click.echo(f"A simulated Hydrus client (Client API {api_version}) listens at {url}")
        if access_key is None:
            # Not a secret: it is the same in every simulator, and stands in its source.
            click.echo(f"Its access key is {key}")
        click.echo("Stop it with Ctrl-C.")

    try:
        if state_dir is not None:
            state_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=state_dir):
                pass
    except OSError as error:
        raise HydrusdError(
            f"the collection cannot be kept in {state_dir}: {error.strerror or error}. "
            f"Choose another folder with --state-dir."
        ) from error
    try:
        run(config, host, port, ready)
    except sqlite3.Error as error:
        raise HydrusdError(
            f"the collection in {state_dir} cannot be used: {error}. "
            f"Choose another folder with --state-dir."
        ) from error
    except OSError as error:
        if listens:
            raise
        raise HydrusdError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. If another program "
            f"(Hydrus itself?) has the port, choose one with --port; --port 0 finds a free one."
        ) from error
