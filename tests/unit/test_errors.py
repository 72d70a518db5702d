from __future__ import annotations

import pytest

from hydrusd import errors
from hydrusd.errors import (
    ConfigError,
    HydrusdError,
    HydrusError,
    HydrusUnavailable,
    LedgerError,
    LedgerLocked,
    PermissionMissing,
    PluginError,
    Problem,
    TemporaryError,
)


def test_a_problem_points_at_its_place():
    problem = Problem("rules.yaml", 3, 7, "no such action", "did you mean add_file?", "  - addd:")
    assert problem.render() == (
        "rules.yaml:3:7: no such action\n"
        "      - addd:\n"
        "          ^\n"
        "    hint: did you mean add_file?"
    )


def test_the_caret_stands_below_its_letter_after_tabs_too():
    excerpt, caret = Problem("r", 1, 4, "m", excerpt="\ta\tb").render().split("\n")[1:]
    assert caret.expandtabs().index("^") == excerpt.expandtabs().index("b")


def test_a_problem_may_have_no_place():
    problem = Problem("rules.yaml", 0, 0, "cannot be read")
    assert problem.place == "rules.yaml"
    assert problem.render() == "rules.yaml: cannot be read"


def test_a_config_error_tells_all_its_problems_in_order():
    first, second = Problem("r", 1, 1, "one"), Problem("r", 2, 1, "two")
    error = ConfigError([first, second])
    assert error.problems == (first, second)
    assert str(error) == "r:1:1: one\nr:2:1: two"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (HydrusError("it failed"), "it failed"),
        (HydrusError("it failed", excerpt="why"), "it failed: why"),
        (
            HydrusError("it failed", method="GET", path="/x", status=500, excerpt="why"),
            "it failed [GET /x → 500]: why",
        ),
        (
            HydrusError("why it failed", method="GET", path="/x", excerpt="why"),
            "why it failed [GET /x]",
        ),
        (HydrusUnavailable("away", method="POST", path="/y", status=503), "away [POST /y → 503]"),
    ],
)
def test_an_error_of_a_request_says_which(error, text):
    assert str(error) == text


def test_what_the_client_said_is_cut():
    error = HydrusError("it failed", excerpt="x" * 10_000)
    assert len(error.excerpt) == errors.EXCERPT_LENGTH
    assert len(str(error)) < 300


def test_errors_carry_what_is_decided_by():
    assert HydrusUnavailable("?", outcome_unknown=True).outcome_unknown
    assert not HydrusUnavailable("?").outcome_unknown
    assert (
        PermissionMissing("?", permission="manage pages", status=403).permission == "manage pages"
    )
    assert TemporaryError("?", delay_seconds=5).delay_seconds == 5
    assert TemporaryError("?").delay_seconds is None
    assert LedgerLocked("?", pid=4).pid == 4
    assert isinstance(LedgerLocked("?"), LedgerError)
    assert str(PluginError("mine", "is broken")) == "plugin mine: is broken"


def test_the_tree_that_the_module_draws_is_the_tree_there_is():
    drawn = [line.split("─ ")[1].split()[0] for line in errors.__doc__.splitlines() if "─ " in line]
    there = [
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, HydrusdError) and item is not HydrusdError
    ]
    assert sorted(drawn) == sorted(there)
