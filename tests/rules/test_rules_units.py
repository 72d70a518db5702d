"""Durations, sizes and paths as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from hydrusd.rules import Duration, FilePath, FolderPath, Size

DURATION = TypeAdapter(Duration)
SIZE = TypeAdapter(Size)
FOLDER = TypeAdapter(FolderPath)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2.0), ("1.5s", 1.5), ("15m", 900.0), ("2h", 7200.0), ("1d", 86_400.0),
        ("500ms", 0.5), ("1h30m", 5400.0), ("1h 30m", 5400.0), (" 0s ", 0.0), ("1 d", 86_400.0),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert DURATION.validate_python(text) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2, "2 has no unit"), ("2", "2 has no unit"), ("2.5", "2.5 has no unit"),
        ("soon", "'soon' is no duration"), ("", "'' is no duration"), ("-2s", "'-2s' is no"),
        ("2s3", "'2s3' is no duration"), ("1:30", "'1:30' is no duration"),
        ("\uff12s", "is no duration"),
        ("99999d", "is longer than ten years"), (True, "must be a duration"),
        (None, "must be a duration"), (["2s"], "must be a duration"), ("9s" * 99, "is no duration"),
    ],
)  # fmt: skip
def test_what_is_no_duration(value, message):
    with pytest.raises(ValidationError) as caught:
        DURATION.validate_python(value)
    assert message in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("10 KB", 10 * 1024), ("5MB", 5 * 1024**2), ("1.5 mb", 3 * 1024**2 // 2), ("2 GiB", 2**31),
        ("1T", 2**40), ("12 B", 12), ("12", 12), (12, 12), (0, 0), (str(2**63 - 1), 2**63 - 1),
    ],
)  # fmt: skip
def test_sizes_count_in_1024s(value, size):
    assert SIZE.validate_python(value) == size


@pytest.mark.parametrize(
    "value", ["KB", "10 XB", "-1", -1, True, None, 1.5, "", "9999999 TB", 2**63]
)
def test_what_is_no_size(value):
    with pytest.raises(ValidationError):
        SIZE.validate_python(value)


@given(st.text() | st.integers() | st.floats() | st.none())
def test_units_never_fail_otherwise(value):
    for adapter in (DURATION, SIZE, FOLDER):
        try:
            result = adapter.validate_python(value, context={"folder": Path("/base")})
        except ValidationError:
            continue
        assert isinstance(result, float | int | Path)


def test_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    context = {"folder": tmp_path}

    def path(text):
        return FOLDER.validate_python(text, context=context)

    assert path("inbox") == tmp_path / "inbox"
    assert path("~/Pictures") == tmp_path / "home" / "Pictures"
    assert path(str(tmp_path / "x")) == tmp_path / "x"
    assert path("a folder/with spaces") == tmp_path / "a folder" / "with spaces"
    assert TypeAdapter(FilePath).validate_python("a.txt", context=context) == tmp_path / "a.txt"
    assert FOLDER.validate_python("inbox") == Path("inbox")
    assert FOLDER.validate_python(tmp_path) == tmp_path
    for wrong in ("", "  ", "a\0b", "C:\temp", 3, None, ["a"], "~nobody-of-that-name/x"):
        with pytest.raises(ValidationError):
            path(wrong)
    with pytest.raises(ValidationError, match="relative path"):
        FOLDER.validate_python("inbox", context={"folder": None})


def test_they_have_a_schema_for_editors():
    class Config(BaseModel):
        settle: Duration = 2.0
        size: Size = 0
        folder: FolderPath

    properties = Config.model_json_schema()["properties"]
    assert properties["settle"]["type"] == "string"
    assert {kind["type"] for kind in properties["size"]["anyOf"]} == {"integer", "string"}
    assert properties["folder"]["format"] == "path"
