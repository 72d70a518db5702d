"""The action that writes to the log."""

from __future__ import annotations

import pytest
from outside import call_of, rules

from hydrusd.builtin.actions.log import Log
from hydrusd.errors import ConfigError


def test_each_item_gets_its_line_with_its_level(project, capsys):
    step = {"log": {"message": "came: {{ file.name }}", "level": "warning"}}
    made = project({"rules.yaml": rules(step)}).drop("inbox/a.jpg").drop("inbox/b.jpg")
    made.run().assert_success()
    # Where the log goes was said by whoever configured it last.
    lines = [line for line in "".join(capsys.readouterr()).splitlines() if "came:" in line]
    assert sorted(line.split("came: ")[1].split()[0] for line in lines) == ["a.jpg", "b.jpg"]
    assert all("warning" in line and "rule=outside" in line for line in lines)


def test_a_level_that_there_is_not(project):
    made = project({"rules.yaml": rules({"log": {"message": "x", "level": "loud"}})})
    with pytest.raises(ConfigError, match="level"):
        made.run()


@pytest.mark.anyio
async def test_planning_writes_nothing(capsys):
    [foreseen] = await Log.plan([call_of(Log(message="came"))])
    assert (foreseen.detail, foreseen.changes) == ("would log: came", False)
    assert capsys.readouterr().out == ""
