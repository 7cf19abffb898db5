"""What a log line looks like to a program."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from infrastructure.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def former_logging() -> Iterator[None]:
    former = structlog.get_config()
    yield
    structlog.configure(**former)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_and_tells_its_time_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    before = datetime.now(UTC)

    structlog.get_logger().info("leading", epoch=1)

    (line,) = lines_of(capsys)
    told = line.pop("timestamp")
    assert line == {"event": "leading", "level": "info", "epoch": 1}
    assert told.endswith("Z")
    assert before <= datetime.fromisoformat(told) <= datetime.now(UTC)


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")

    structlog.get_logger().info("leading")
    structlog.get_logger().warning("behind")

    assert [line["event"] for line in lines_of(capsys)] == ["behind"]


def test_an_accident_is_written_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    accident = RuntimeError("a lone surrogate: \ud800")
    structlog.get_logger().error("failed", exc_info=accident, size=2**70)

    (line,) = lines_of(capsys)
    assert line["size"] == 2**70
    assert "RuntimeError: a lone surrogate" in line["exception"]
    assert line["timestamp"].startswith("20")
