from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from hypothesis import given, settings, strategies as st

from hydrusd import logs, redaction

SECRET = "feedc0de" * 8


@pytest.fixture(autouse=True)
def _restored():
    """Logging belongs to the whole process: leave it as it was."""
    root, ours = logging.getLogger(), logging.getLogger("hydrusd")
    before = root.handlers, root.level, ours.level
    secrets = redaction._registered
    redaction.register(SECRET)
    yield
    root.handlers, root.level, ours.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    redaction._registered = secrets


def configured(**options) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(stream=stream, **options)
    return stream


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail():
    access_key_in_a_local = SECRET
    raise ValueError(f"refused {access_key_in_a_local}")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        lambda log: log.info(f"the key is {SECRET}"),
        lambda log: log.info("sent", request={"headers": [SECRET, {"a": SECRET}]}),
        lambda log: log.info("sent", access_key="never registered"),
        lambda log: log.info("sent", cookies={"PHPSESSID": "never registered"}),
        lambda log: log.info("sent", error=ValueError(SECRET)),
        lambda log: log.info("sent", **{SECRET: 1}),
        lambda log: log.bind(key=SECRET).info("sent"),
        lambda log: log.info('answered {"access_key": "never-registered"}'),
    ],
)
def test_no_secret_of_a_structlog_line_is_written(said, as_json):
    stream = configured(as_json=as_json)
    said(structlog.get_logger("hydrusd.test"))
    text = stream.getvalue()
    assert text
    assert SECRET not in text
    assert "never registered" not in text
    assert "never-registered" not in text
    assert redaction.HIDDEN in text


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_of_a_library_line_is_written(as_json):
    stream = configured(as_json=as_json)
    logging.getLogger("httpx").warning("GET %s with %r", "/x", {"key": SECRET})
    logging.getLogger("other").error(f"Access-Key: {SECRET[:20]}", extra={"more": SECRET})
    text = stream.getvalue()
    assert "GET /x" in text
    assert SECRET not in text
    assert SECRET[:20] not in text


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("how", [True, "tuple", "error"])
def test_a_traceback_is_written_without_the_secrets_in_it(as_json, library, how):
    """Nor those in the local variables of its frames."""
    stream = configured(as_json=as_json, level="debug")
    log = logging.getLogger("asyncio") if library else structlog.get_logger("hydrusd.test")
    try:
        fail()
    except ValueError as error:
        kept = error
        if how is True:
            log.exception("failed")
    if how is not True:
        # As event loops do, when the handler is long over.
        triple = (type(kept), kept, kept.__traceback__)
        log.error("failed", exc_info=triple if how == "tuple" else kept)
    text = stream.getvalue()
    assert "Traceback" in text
    assert "in fail" in text
    assert f"ValueError: refused {redaction.HIDDEN}" in text
    assert SECRET not in text
    assert SECRET[:16] not in text


def test_json_lines_are_json():
    stream = configured(as_json=True)
    structlog.get_logger("hydrusd.test").info("noticed", name='"quoted"\n\udcff', path=io, n=3)
    logging.getLogger("lib").warning("two\nlines")
    first, second = lines(stream)
    assert first["event"] == "noticed"
    assert first["level"] == "info"
    assert first["n"] == 3
    assert first["name"] == '"quoted"\n\udcff'
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("two\nlines", "warning")


@settings(max_examples=50, deadline=None)
@given(
    event=st.text(),
    values=st.dictionaries(
        st.text(st.characters(categories=["Ll"]), min_size=1).filter(
            lambda name: name not in {"event", "level", "timestamp", "exc_info", "stack_info"}
        ),
        st.recursive(
            st.text() | st.integers() | st.none() | st.just(f"access_key: {SECRET}"), st.lists
        ),
    ),
)
def test_whatever_is_said_is_one_line_of_json_without_the_secret(event, values):
    stream = configured(as_json=True)
    structlog.get_logger("hydrusd.test").warning(event, **values)
    assert stream.getvalue().count("\n") == 1
    [line] = lines(stream)
    assert set(line) >= {"event", "level", "timestamp", *values}
    assert SECRET not in stream.getvalue()


def test_people_get_a_line_without_escapes():
    stream = configured()
    structlog.get_logger("hydrusd.test").warning("waiting for Hydrus", lane="hydrus", n=2)
    text = stream.getvalue()
    assert "waiting for Hydrus" in text
    assert "lane=hydrus n=2" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", ["d", "i", "w"]), ("info", ["i", "w"]), ("warning", ["w"])],
)
def test_the_level_is_for_our_own_lines(level, heard):
    stream = configured(level=level, as_json=True)
    log = structlog.get_logger("hydrusd.test")
    log.debug("d")
    log.info("i")
    log.warning("w")
    library = logging.getLogger("httpx")
    library.info("chatter")
    assert [line["event"] for line in lines(stream)] == heard
    library.warning("trouble")
    assert lines(stream)[-1]["event"] == "trouble"


def test_configuring_again_replaces_what_was(capsys):
    first = configured(as_json=True)
    second = configured(as_json=True)
    structlog.get_logger("hydrusd.test").info("once")
    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["once"]
    logs.configure()
    structlog.get_logger("hydrusd.test").info("to standard error")
    assert "to standard error" in capsys.readouterr().err
