"""Other people's text on a terminal: shown, never obeyed; shortened, never guessed."""

from __future__ import annotations

import io
import logging
import sys

import pytest
import structlog
from hypothesis import given, strategies as st
from rich.cells import cell_len

from hydrusd import redaction
from hydrusd.cli._failing import failing_plainly
from hydrusd.cli._terminal import (
    configure_logs,
    plain,
    shorten,
    write_what_can_be_written,
)
from hydrusd.errors import HydrusdError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("holiday 猫 é 👩‍👩‍👧.jpg", "holiday 猫 é 👩‍👩‍👧.jpg"),
        ("[red]x[/red] :smile:", "[red]x[/red] :smile:"),
        ("\x1b[2J\r\n\t\x07\x7f", r"\x1b[2J\r\n\t\x07\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\udcff", r"\udcff"),
    ],
)
def test_plain(text, shown):
    assert plain(text) == shown
    assert plain("\n\t", keep="\n\t") == "\n\t"


@given(st.text())
def test_plain_text_can_be_encoded_and_commands_nothing(text):
    shown = plain(text)
    assert shown.encode().decode() == shown
    assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in shown)


@given(st.text(st.characters(exclude_categories=["C", "M"])), st.integers(1, 40))
def test_shortened_text_fits_and_keeps_both_ends(text, width):
    short = shorten(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text
    else:
        start, _, end = short.partition("…") if "…" not in text else (short[:0], "", "")
        assert text.startswith(start)
        assert text.endswith(end)


def test_the_end_of_a_path_is_kept():
    assert shorten("/home/someone/pictures/inbox/0017.jpg", 20) == "/home/…nbox/0017.jpg"


def lines_of(capsys):
    return [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]


def test_a_log_line_says_nothing_twice(hydrusd, capsys):
    configure_logs(level="info")
    log = structlog.get_logger("hydrusd.test")
    log.info("rule 'import all': add_file: 30 done", rule="import all", step="add_file", done=30)
    log.info("started with 1 rule", rules=1)
    log.info("page 3 fetched", failures=3, page=3)
    log.info("settled", jobs=30)
    log.warning("watch_folder: /in box does not exist", trigger="watch_folder /in box")
    log.info("looked", files=["a"], found=None)
    assert lines_of(capsys) == [
        "rule 'import all': add_file: 30 done",
        "started with 1 rule",
        "page 3 fetched failures=3",
        "settled jobs=30",
        "[warning] watch_folder: /in box does not exist",
        "looked files=['a'] found=None",
    ]


def test_a_log_line_cannot_command_the_terminal(hydrusd, capsys):
    configure_logs(level="info")
    structlog.get_logger("hydrusd.test").info("got \x1b[2Jx\ny", name="\x1b]0;t\x07", more=["\x1b"])
    logging.getLogger("some.library").warning("said %s", "\x1b[2J\udcff")
    try:
        raise ValueError("\x1b[2J\nnext")
    except ValueError as error:
        structlog.get_logger("hydrusd.test").error("failed", exc_info=error)
    told = capsys.readouterr().err
    assert all(c == "\n" or c.isprintable() for c in told)
    assert r"got \x1b[2Jx\ny" in told
    assert r"said \x1b[2J\udcff" in told
    assert "ValueError: \\x1b[2J" in told


def test_what_an_encoding_lacks_is_replaced(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    write_what_can_be_written()
    print("a → b · c … ≥ █░ 猫 \udcff é")  # noqa: T201 - what is under test
    sys.stdout.flush()
    assert written.getvalue().decode().strip() == r"a -> b - c ... >= #. \u732b \udcff \xe9"


def test_a_mistake_of_ours_is_told_without_its_secrets(capsys):
    secret = "feedface" * 8
    redaction.register(secret)
    with pytest.raises(SystemExit) as ending, failing_plainly():
        raise ExceptionGroup("tasks", [RuntimeError(f"with {secret} \x1b[2J"), HydrusdError("x")])
    told = capsys.readouterr().err
    assert ending.value.code == 1
    assert "RuntimeError: with [hidden]" in told
    assert "please report it" in told
    assert secret not in told
    assert "\x1b" not in told


def test_the_end_of_everything_is_no_mistake(capsys):
    for error in (SystemExit(1), KeyboardInterrupt()):
        with pytest.raises(SystemExit) as ending, failing_plainly():
            raise BaseExceptionGroup("tasks", [error])
        assert ending.value.code == 1
    assert capsys.readouterr().err == ""
