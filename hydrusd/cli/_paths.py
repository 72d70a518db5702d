"""Where things are when nobody says where."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from hydrusd.errors import ConfigError, Problem

RULES_FILE = "rules.yaml"


def rules_path(given: Path | None) -> Path:
    """Find the rules file. Raises ConfigError that lists every place where it was looked for."""
    if given is not None:
        return given
    places = [Path(RULES_FILE), platformdirs.user_config_path("hydrusd") / RULES_FILE]
    for place in places:
        if place.exists():
            return place
    searched = " and ".join(str(place.absolute()) for place in places)
    raise ConfigError(
        [
            Problem(
                RULES_FILE,
                0,
                0,
                f"there are no rules; looked for {searched}",
                "name a rules file (hydrusd run my-rules.yaml); rules.example.yaml shows one",
            )
        ]
    )


def state_path(given: Path | None) -> Path:
    """Say where the ledger is kept."""
    return given or platformdirs.user_state_path("hydrusd")
