"""Where log lines go: one processor chain for all of them, redaction last.

Lines of libraries that use the standard ``logging`` go through the same chain, so
nothing can be written that was not redacted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from hydrusd.redaction import redact, redact_tree


def _redacted(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # An exception stays what it is until it is rendered, and is redacted as text then.
    return {
        key: value if key == "exc_info" else redact_tree(value, name=key)
        for key, value in entry.items()
    }


def _redacted_text(_: object, __: str, line: Any) -> str:
    return redact(line)


def configure(*, level: str = "info", as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send all log lines to ``stream`` (standard error), for people or as JSON lines."""
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        # Redacted before the quotes and backslashes in it are escaped.
        renderer = structlog.processors.JSONRenderer(default=lambda value: redact(str(value)))
    else:
        colours = hasattr(out, "isatty") and out.isatty() and not os.environ.get("NO_COLOR")
        # The usual formatter shows local variables, wrapped: no pattern would find a key there.
        renderer = structlog.dev.ConsoleRenderer(
            colors=colours,
            pad_event_to=0,
            pad_level=False,
            exception_formatter=structlog.dev.plain_traceback,
        )
    final: list[structlog.typing.Processor] = [_redacted, renderer, _redacted_text]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("hydrusd").setLevel(level.upper())
