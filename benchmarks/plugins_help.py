"""What 30 plugins add to the time of `hydrusd --help`: half of it would be noticed.

Both are measured in turns, and compared by the median of the differences.

    python benchmarks/plugins_help.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _measuring import KEY, Figure, folder

HYDRUSD = (sys.executable, "-c", "from hydrusd.cli import main; main()")
PLUGINS = 30
MOST_MILLISECONDS = 50.0
RULES = f"client: {{url: http://127.0.0.1:1, access_key: {KEY}}}\nrules: []\n"
PLUGIN = """\
from hydrusd.plugin import action


@action
def act_{name}(call, size: int = 1) -> str:
    "Act."
    return "done"
"""


def main() -> None:
    """Ask for help in both places, in turns."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with folder() as where:
        without, beside = where / "without", where / "with"
        for place in (without, beside):
            place.mkdir()
            (place / "rules.yaml").write_text(RULES)
        installed = where / "installed"
        for number in range(PLUGINS):
            write_plugin(beside / "plugins", f"mine_{number}")
            install_plugin(installed, f"theirs_{number}")
        loaded = count_loaded(beside, installed)
        assert loaded == 2 * PLUGINS, f"{loaded} plugins are loaded"
        seconds_of_help(without, None)  # whatever is only slow once
        differences, plain = [], []
        for _ in range(rounds):
            plain.append(seconds_of_help(without, None))
            differences.append(seconds_of_help(beside, installed) - plain[-1])
    more = max(statistics.median(differences), 0.0) * 1000
    print(f"help without plugins {statistics.median(plain) * 1000:.0f} ms, with {more:.1f} ms more")
    Figure("help with 30 plugins", MOST_MILLISECONDS, max(more, 0.1), "ms more at most", 1).print()


def write_plugin(place: Path, name: str) -> None:
    """Write a plugin in one file."""
    place.mkdir(exist_ok=True)
    (place / f"{name}.py").write_text(PLUGIN.format(name=name))


def install_plugin(place: Path, name: str) -> None:
    """Do what pip does: a module, and what announces it."""
    place.mkdir(exist_ok=True)
    (place / f"{name}.py").write_text(PLUGIN.format(name=name))
    info = place / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hydrusd]\n{name} = {name}\n")


def environment(installed: Path | None) -> dict[str, str]:
    """Give the environment in which those packages are installed."""
    return os.environ | ({"PYTHONPATH": str(installed)} if installed else {})


def count_loaded(place: Path, installed: Path) -> int:
    """Say how many of them `hydrusd plugins` finds: a help that knows of none proves nothing."""
    command = [*HYDRUSD, "plugins", "--state-dir", str(place)]
    told = subprocess.run(
        command, cwd=place, env=environment(installed), capture_output=True, text=True, check=True
    ).stdout
    return sum(line.startswith(("mine_", "theirs_")) for line in told.splitlines())


def seconds_of_help(place: Path, installed: Path | None) -> float:
    """Ask for help there."""
    command = [*HYDRUSD, "--help"]
    began = time.perf_counter()
    subprocess.run(
        command, cwd=place, env=environment(installed), stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
