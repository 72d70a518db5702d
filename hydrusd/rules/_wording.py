"""Says in a user's words what pydantic found wrong.

pydantic speaks to programmers ("Input should be a valid dictionary", with a path of
Python names, once for each member of a union). A rules file's author gets one
sentence for each place, with what was expected and what stands there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hydrusd.rules._problems import Problems, nearest
from hydrusd.rules._yaml import Document, Path

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "date_from_datetime_parsing": "a date, as in 2026-11-30",
    "date_parsing": "a date, as in 2026-11-30",
    "dict_type": "a mapping (key: value)",
    "float_parsing": "a number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "none_required": "empty",
    "path_type": "a path",
    "set_type": "a list",
    "string_type": "text",
    "time_parsing": "a time, as in 13:30",
    "tuple_type": "a list",
}
CONFIDENTIAL = "hydrusd_secret"
"""The kind of a fault in a secret: what stands there may be one, and must not be shown."""
_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True)
class _Finding:
    path: Path
    expected: str
    message: str
    hint: str
    at_key: bool
    in_union: bool


def validate(
    model: type[BaseModel],
    data: object,
    path: Path,
    *,
    document: Document,
    problems: Problems,
    context: Mapping[str, object],
) -> tuple[BaseModel | None, object]:
    """Give the model made of the data, and the data with numbers as text where text was meant.

    None where that failed; then the problems say why.
    """
    corrected = False
    while True:
        try:
            return model.model_validate(data, context=dict(context)), data
        except ValidationError as error:
            details = error.errors(include_url=False)
            # ``tags: [2024]``: the author of a rule means the text that stands there.
            better = None if corrected else _as_written(data, path, details, document)
            if better is None:
                _report(model, data, path, details, document, problems)
                return None, data
            data, corrected = better, True
        except Exception as error:  # noqa: BLE001 - a plugin's own validator may fail in any way
            problems.add(
                document.key(path),
                f"this could not be checked: {type(error).__name__}: {str(error)[:200]}",
                "this is a fault of the plugin that brought it",
            )
            return None, data


def _as_written(
    data: object, path: Path, details: Sequence[ErrorDetails], document: Document
) -> object | None:
    places = {
        _path_in(data, detail["loc"]) for detail in details if detail["type"] == "string_type"
    }
    texts = {
        place: text
        for place in places
        if isinstance(_at(data, place), int | float)
        and (text := document.text((*path, *place))) is not None
    }
    return _replaced(data, texts, ()) if texts else None


def _replaced(value: Any, texts: Mapping[Path, str], path: Path) -> object:
    if path in texts:
        return texts[path]
    if isinstance(value, dict):
        return {key: _replaced(item, texts, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, texts, (*path, index)) for index, item in enumerate(value)]
    return value


def _report(
    model: type[BaseModel],
    data: object,
    path: Path,
    details: Sequence[ErrorDetails],
    document: Document,
    problems: Problems,
) -> None:
    for detail in details:
        if detail["type"] == CONFIDENTIAL:
            whole = (*path, *_path_in(data, detail["loc"]))
            for place in document.scalars:
                if place[: len(whole)] == whole:
                    problems.cover(*document.extent(place))
    findings = [
        _finding(model, data, detail, problems) for detail in _without_misspelt(model, details)
    ]
    groups: dict[tuple[Path, str], list[_Finding]] = {}
    for finding in findings:
        # What failed deeper inside one member of a union came closer than the others.
        if finding.in_union and any(
            other.in_union
            and len(other.path) > len(finding.path)
            and other.path[: len(finding.path)] == finding.path
            for other in findings[:1000]
        ):
            continue
        own = "" if finding.expected else finding.message
        groups.setdefault((finding.path, own), []).append(finding)
    for group in groups.values():
        first = group[0]
        message = first.message
        if first.expected:
            expected = " or ".join(dict.fromkeys(finding.expected for finding in group))
            message = f"must be {expected}, not {_shown(_at(data, first.path))}"
        if first.path and not first.at_key:
            # An author's own sentence follows a colon, "must be …" the name itself.
            goes_on = message.startswith(("must ", "is ", "begins "))
            message = f"{_named(first.path)}{'' if goes_on else ':'} {message}"
        whole = (*path, *first.path)
        place = document.key(whole) if first.at_key else document.value(whole)
        problems.add(place, message, first.hint)


def _finding(
    model: type[BaseModel], data: object, detail: ErrorDetails, problems: Problems
) -> _Finding:
    kind, context = detail["type"], detail.get("ctx", {})
    path = _path_in(data, detail["loc"])
    in_union = len(path) < len(detail["loc"]) and kind != "missing"
    expected, hint = _expectation(kind, context, _at(data, path), problems)
    message, at_key = "", False
    if kind == "missing":
        message, at_key = f"'{detail['loc'][-1]}' is missing", True
    elif kind in _UNKNOWN:
        name = str(detail["loc"][-1])
        message, at_key = f"there is no '{name[:60]}' here", True
        hint = problems.suggest(name, _names(model)) if len(path) <= 1 else ""
    elif kind in {"hydrusd", CONFIDENTIAL}:
        message, hint = str(context.get("message", "")), str(context.get("hint", ""))
    elif kind in {"value_error", "assertion_error"}:
        message = str(context.get("error", "")) or detail["msg"]
    elif not expected:
        message = detail["msg"][:1].lower() + detail["msg"][1:]
    return _Finding(path, expected, message, hint, at_key, in_union)


def _expectation(
    kind: str, context: Mapping[str, Any], value: object, problems: Problems
) -> tuple[str, str]:
    """Give what was expected where one can say "must be …, not …", and a hint."""
    hint = ""
    expected = _EXPECTED.get(kind, "")
    if kind in {"literal_error", "enum"}:
        wanted = str(context.get("expected", ""))
        expected = f"one of {wanted}" if " or " in wanted or "," in wanted else wanted
        choices = [choice.strip("'") for choice in wanted.replace(" or ", ", ").split(", ")]
        hint = problems.suggest(str(value), choices)
        hint = hint if hint.startswith("did") else ""
    elif expected == "a list" and isinstance(value, str):
        hint = "write it as [a, b], or each item in a line of its own after '- '"
    elif kind in _LIMITS:
        name, words = _LIMITS[kind]
        expected = f"{words} {context.get(name)}"
    elif kind in {"too_short", "string_too_short"}:
        expected = f"longer: at least {context.get('min_length')}"
    elif kind in {"too_long", "string_too_long"}:
        expected = f"shorter: at most {context.get('max_length')}"
    return expected, hint


def _without_misspelt(
    model: type[BaseModel], details: Sequence[ErrorDetails]
) -> list[ErrorDetails]:
    """Leave out what is missing only because it is misspelt: that is said already."""
    meant = {
        nearest(str(detail["loc"][-1]), _names(model))
        for detail in details[:100]
        if detail["type"] in _UNKNOWN and len(detail["loc"]) == 1
    }
    return [
        detail
        for detail in details
        if not (
            detail["type"] == "missing" and len(detail["loc"]) == 1 and detail["loc"][0] in meant
        )
    ]


def _names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _path_in(data: Any, loc: Sequence[str | int]) -> Path:
    """Give the part of pydantic's path that exists in the data.

    The rest names members of unions, or a key that is missing.
    """
    path: list[str | int] = []
    for part in loc:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside:
            data = data[part]
            path.append(part)
    return tuple(path)


def _at(data: Any, path: Path) -> object:
    for part in path:
        data = data[part]
    return data


def _named(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part[:60]}" if text else part[:60]
    return f"'{text}'"


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"
    return str(value)[:60]
