"""Structured log lines on standard error."""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog


def configure_logging(level: str) -> None:
    """One line an event, readable on a terminal, JSON elsewhere; nothing below `level`."""
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            *(_for_people() if on_terminal else _for_programs()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=(
            structlog.PrintLoggerFactory(sys.stderr)
            if on_terminal
            else structlog.BytesLoggerFactory(sys.stderr.buffer)
        ),
    )


def _for_people() -> list[structlog.types.Processor]:
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(),
    ]


def _for_programs() -> list[structlog.types.Processor]:
    return [_stamp, structlog.processors.JSONRenderer(serializer=_as_json)]


def _stamp(
    _: structlog.types.WrappedLogger, __: str, line: structlog.types.EventDict
) -> structlog.types.EventDict:
    line["timestamp"] = datetime.now(UTC)
    return line


def _as_json(line: structlog.types.EventDict, default: Callable[[Any], Any]) -> bytes:
    try:
        return orjson.dumps(line, default=default, option=orjson.OPT_UTC_Z)
    except TypeError:
        # It holds what orjson refuses, such as a lone surrogate; it is no reason to lose the line.
        return json.dumps(line, default=str).encode()
