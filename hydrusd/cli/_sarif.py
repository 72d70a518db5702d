"""Problems as SARIF 2.1.0, which editors and code hosts show beside the line.

Only what the format needs and what hydrusd knows. Columns count characters, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hydrusd import __version__
from hydrusd.errors import Problem
from hydrusd.redaction import redact

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES = {
    "error": ("problem", "What stops the rules from being run."),
    "warning": ("doubt", "What is allowed and probably not meant."),
    "note": ("finding", "What a look at clients and folders has shown."),
}


def sarif(problems: Iterable[Problem]) -> dict[str, object]:
    """Give a whole SARIF log of one run."""
    rules = [
        {"id": name, "shortDescription": {"text": words}, "defaultConfiguration": {"level": level}}
        for level, (name, words) in _RULES.items()
    ]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "hydrusd", "version": __version__, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(problem) for problem in problems],
            }
        ],
    }


def _result(problem: Problem) -> dict[str, object]:
    message = f"{problem.message}\n{problem.hint}" if problem.hint else problem.message
    location: dict[str, object] = {"artifactLocation": {"uri": _uri(problem.file)}}
    if problem.line:
        region: dict[str, object] = {"startLine": problem.line, "startColumn": problem.column}
        if problem.excerpt:
            region["snippet"] = {"text": redact(problem.excerpt)}
        location["region"] = region
    return {
        "ruleId": _RULES[problem.severity][0],
        "level": problem.severity,
        "message": {"text": redact(message)},
        "locations": [{"physicalLocation": location}],
    }


def _uri(file: str) -> str:
    path = Path(file)
    if path.is_absolute():
        return path.as_uri()
    # What is relative stays so: to the folder in which the command was run.
    from urllib.parse import quote

    return quote(path.as_posix())
