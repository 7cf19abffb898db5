"""How values are written on the command line, and what is said when they are written wrongly."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interfaces.cli.arguments import (
    parse_json,
    parse_moment,
    parse_pairs,
    parse_scopes,
    read_json,
    read_json_lines,
    read_secret,
)
from interfaces.cli.failures import Failure, Misuse
from interfaces.cli.session import global_options_first

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_json_is_taken_from_the_option_or_from_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"from": "stdin"}'))

    assert parse_json('{"a": [1, null]}', option="--input") == {"a": [1, None]}
    assert parse_json("-", option="--input") == {"from": "stdin"}


def test_a_text_without_quotes_is_refused_with_a_hint() -> None:
    with pytest.raises(Misuse, match=r"--input holds no JSON.*needs its quotes"):
        parse_json("hello", option="--input")


@pytest.mark.parametrize(
    "text", ["NaN", "[-Infinity]", "[1e999]", "-1e400", "1" * 5000, "[" * 100_000]
)
def test_what_python_alone_takes_for_json_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="--input holds no JSON"):
        parse_json(text, option="--input")


def test_json_lines_are_read_one_by_one_and_blank_lines_skipped(tmp_path: Path) -> None:
    file = tmp_path / "tasks.ndjson"
    file.write_text('{"kind": "a"}\n\n{"kind": "b"}\n')

    assert read_json_lines(file) == [{"kind": "a"}, {"kind": "b"}]


def test_the_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tasks.ndjson"
    file.write_text('{"kind": "a"}\n{"kind"\n')

    with pytest.raises(Misuse, match=r"tasks\.ndjson, line 2"):
        read_json_lines(file)


def test_a_file_that_cannot_be_read_is_one_line_of_reason(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'"gr\xfcn"')

    with pytest.raises(Failure, match="No such file"):
        read_json(tmp_path / "missing")
    with pytest.raises(Failure, match="not UTF-8"):
        read_json(tmp_path / "latin")


def test_a_secret_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" s3cret \r\n")

    assert read_secret(tmp_path / "secret") == " s3cret "
    assert read_secret(None) is None


def test_labels_are_keys_with_values_that_may_hold_the_separator() -> None:
    parsed = parse_pairs(["team=core", "query=a=b", "empty="], option="--label")

    assert parsed == {"team": "core", "query": "a=b", "empty": ""}


@pytest.mark.parametrize("pair", ["team", "=core", " =core"])
def test_a_label_without_a_key_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(Misuse, match="--label wants key=value"):
        parse_pairs([pair], option="--label")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-31T09:00:00Z", datetime(2030, 1, 31, 9, tzinfo=UTC)),
        ("2030-01-31T10:00:00+01:00", datetime(2030, 1, 31, 9, tzinfo=UTC)),
        ("90s", NOON + timedelta(seconds=90)),
        ("10m", NOON + timedelta(minutes=10)),
        ("1.5h", NOON + timedelta(hours=1.5)),
        ("1d", NOON + timedelta(days=1)),
    ],
)
def test_a_moment_is_a_time_or_so_long_from_now(text: str, moment: datetime) -> None:
    assert parse_moment(text, option="--not-before", now=NOON) == moment


@pytest.mark.parametrize("text", ["tomorrow", "10", "2030-01-31T09:00:00", "-5m"])
def test_a_time_that_is_none_or_has_no_zone_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="--not-before wants a time"):
        parse_moment(text, option="--not-before")


def test_scopes_may_be_given_one_by_one_or_together() -> None:
    assert parse_scopes(["tasks:read,tasks:write", "audit:read agents:read"]) == [
        "tasks:read",
        "tasks:write",
        "audit:read",
        "agents:read",
    ]


def test_the_options_of_every_command_may_stand_anywhere() -> None:
    given = ["task", "list", "--url", "http://here", "--limit", "3", "--token=abc"]

    assert global_options_first(given) == [
        *("--url", "http://here", "--token=abc"),
        *("task", "list", "--limit", "3"),
    ]


def test_a_programs_own_options_are_left_to_it() -> None:
    given = ["agent", "run", "--kind", "command", "--", "curl", "--url", "http://there"]

    assert global_options_first(given) == given


def test_an_option_without_its_value_is_refused() -> None:
    with pytest.raises(Misuse, match="--url needs a value"):
        global_options_first(["task", "list", "--url"])
