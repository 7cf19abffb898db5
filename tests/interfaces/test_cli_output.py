"""What people read and what programs read."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from interfaces.cli.output import ago, print_fields, print_json, print_table, text_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(seconds=3), "3 s ago"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=30), "1 d ago"),
        (timedelta(minutes=-10), "in 10 min"),
        (timedelta(milliseconds=-20), "0 s ago"),
    ],
)
def test_times_are_told_from_now(before: timedelta, said: str) -> None:
    assert ago((NOON - before).isoformat(), now=NOON) == said


def test_what_never_happened_has_no_time() -> None:
    assert ago(None) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), ([], "-"), (("a", "b"), "a, b"), ({"k": "ü"}, '{"k": "ü"}')],
)
def test_values_are_told_the_way_people_write_them(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_table_for_a_pipe_is_columns_without_colours_or_cuts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("ID", "NAME"), [("x" * 60, "a"), ("y", None)], empty="none")

    assert capsys.readouterr().out.splitlines() == [
        f"{'ID':<60}  NAME",
        f"{'x' * 60}  a",
        f"{'y':<60}  -",
    ]


def test_an_empty_table_prints_nothing_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("ID",), [], empty="There are none.")

    assert capsys.readouterr() == ("", "")


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"task": "t1", "error": None, "labels": {}, "status": "done"})

    assert capsys.readouterr().out == "task    t1\nstatus  done\n"


def test_json_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "two\nlines", "name": "Zoë"})

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "Zoë" in out
    assert json.loads(out) == {"text": "two\nlines", "name": "Zoë"}
