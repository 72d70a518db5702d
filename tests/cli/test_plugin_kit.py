"""`hydrusd plugin new` writes plugins that work; `hydrusd plugin test` says whether they do."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from invoking import invoke

from hydrusd.cli._scaffold import files_of

WITHOUT_PYTEST = "import sys; sys.modules['pytest'] = None; from hydrusd.cli import main; main()"


def hydrusd(*arguments, code="from hydrusd.cli import main; main()", path=()):
    """Run a command in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, encoding="utf-8", check=False
    )


def test_a_new_plugin_is_told_of_with_all_its_files(tmp_path):
    # That it passes its own tests says the test of the tutorial, which begins with them.
    ended = invoke("plugin", "new", "tag_it", "--to", tmp_path / "mine")
    assert ended.exit_code == 0
    for path in files_of("tag_it", package=False):
        assert (tmp_path / "mine" / path).is_file()
        assert path in ended.output
    assert f"hydrusd plugin test {tmp_path / 'mine'}" in ended.output


def installed(package, folder):
    """Do what installing in editable mode does to hydrusd: say the entry points of a package."""
    told = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n"
    )
    lines = [f"{name} = {value}" for name, value in told["entry-points"]["hydrusd"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[hydrusd]", *lines, ""]))
    return package / "src", folder


def test_a_new_package_does_so_once_it_is_installed(tmp_path):
    package = tmp_path / "tag-it"
    assert invoke("plugin", "new", "tag_it", "--package", "--to", package).exit_code == 0
    before = invoke("plugin", "test", package)
    assert before.exit_code == 1
    assert f'pip install --editable "{package}"' in before.output
    path = installed(package, tmp_path / "site")
    tested = hydrusd("plugin", "test", package, "--", "-q", path=path)
    assert "2 passed" in tested.stdout, tested.stdout + tested.stderr


@pytest.mark.parametrize("package", [True, False])
def test_nothing_of_the_forms_is_left_in_the_files(package):
    for path, text in files_of("tag_it", package=package).items():
        filled = text.replace("${{ matrix.", "").replace("${env:", "")
        assert "$" not in filled, path
        assert text.endswith("\n"), path


@pytest.mark.parametrize(
    ("name", "told"),
    [("Tag-It", "tag_it?"), ("class", "like tag_by_size"), ("log", "already"), ("7", "like")],
)
def test_a_name_that_does_not_do(name, told, tmp_path):
    ended = invoke("plugin", "new", name, "--to", tmp_path / "new")
    assert ended.exit_code == 2
    assert told in ended.output
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    ended = invoke("plugin", "new", "tag_it", "--to", tmp_path)
    assert ended.exit_code == 1
    assert "nothing was written" in ended.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_pytest_the_contract_alone_is_tried(tmp_path):
    assert invoke("plugin", "new", "tag_it", "--to", tmp_path).exit_code == 0
    good = hydrusd("plugin", "test", tmp_path, code=WITHOUT_PYTEST)
    assert "pip install pytest" in good.stdout, good.stderr
    assert "test_tag_it.py: EXAMPLE: keeps the contract" in good.stdout
    assert good.returncode == 0
    source = tmp_path / "tag_it.py"
    source.write_text(source.read_text().replace("return [Foreseen", "return [nowhere"))
    bad = hydrusd("plugin", "test", tmp_path, code=WITHOUT_PYTEST)
    assert "tag_it breaks the promise that planning looks, and changes nothing" in bad.stdout
    assert "nowhere" in bad.stdout
    assert bad.returncode == 1


def test_a_failing_test_fails_the_command(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert 1 == 2\n")
    ended = hydrusd("plugin", "test", tmp_path)
    assert ended.returncode == 1
    assert "1 failed" in ended.stdout


def test_where_there_is_no_test(tmp_path):
    (tmp_path / "mine.py").write_text("")
    for path in (tmp_path, tmp_path / "mine.py"):
        ended = invoke("plugin", "test", path)
        assert ended.exit_code == 1
        assert "there is no test" in ended.output
    nowhere = invoke("plugin", "test", Path(tmp_path / "nowhere"))
    assert nowhere.exit_code == 1
