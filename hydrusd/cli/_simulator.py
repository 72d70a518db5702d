"""``hydrusd simulator``."""

from __future__ import annotations

from pathlib import Path

import click

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

    def ready(url: str) -> None:
        click.echo(f"A simulated Hydrus client (Client API {api_version}) listens at {url}")
        if access_key is None:
            # Not a secret: it is the same in every simulator, and stands in its source.
            click.echo(f"Its access key is {key}")
        click.echo("Stop it with Ctrl-C.")

    run(config, host, port, ready)
