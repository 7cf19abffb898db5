"""`muster events` and `activity` against a real service, and how they end."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.interfaces.muster import Muster
from tests.interfaces.service import Service


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def submitted(muster: Muster, count: int) -> list[str]:
    return [muster.done("task", "submit", "x").out.strip() for _ in range(count)]


def test_the_tail_is_the_end_of_the_log_in_its_order(muster: Muster) -> None:
    ids = submitted(muster, 5)

    events = muster.done("events", "tail", "--last", "3", "--json").rows

    assert [event["subject"] for event in events] == [f"task/{task_id}" for task_id in ids[-3:]]
    assert all(event["specversion"] == "1.0" for event in events)


def test_a_rare_type_is_found_however_far_back_it_is(muster: Muster) -> None:
    [first] = submitted(muster, 1)
    muster.done("task", "cancel", first)
    submitted(muster, 30)

    [event] = muster.done(
        "events", "tail", "--type", "task.cancelled", "--last", "1", "--json"
    ).rows

    assert event["subject"] == f"task/{first}"


def test_one_aggregate_can_be_followed_through_the_log(muster: Muster) -> None:
    first, _ = submitted(muster, 2)
    muster.done("task", "cancel", first)

    events = muster.done("events", "tail", "--aggregate", first, "--json").rows

    assert [event["type"] for event in events] == ["task.submitted", "task.cancelled"]


def test_after_a_cursor_comes_everything_that_followed(muster: Muster) -> None:
    submitted(muster, 1)
    cursor = muster.done("events", "tail", "--last", "1", "--json").json["id"]
    later = submitted(muster, 2)

    events = muster.done("events", "tail", "--after", cursor, "--json").rows

    assert [event["subject"] for event in events] == [f"task/{task_id}" for task_id in later]


def test_an_empty_log_has_no_tail(muster: Muster) -> None:
    assert muster.done("events", "tail").out == ""


def test_a_line_of_the_tail_names_the_event_and_what_it_is_about(muster: Muster) -> None:
    [task_id] = submitted(muster, 1)

    said = muster.done("events", "tail")

    assert "task.submitted" in said.out
    assert f"task/{task_id}" in said.out
    assert "kind=x" in said.out


def test_activity_is_told_in_sentences_newest_first(muster: Muster) -> None:
    first, second = submitted(muster, 2)

    rows = muster.done("activity", "--limit", "2", "--json").rows

    assert [row["subject"] for row in rows] == [f"task/{second}", f"task/{first}"]
    assert rows[0]["text"] in muster.done("activity").out


def test_following_goes_on_until_it_is_interrupted(muster: Muster) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "interfaces.cli.main", "events", "tail", "--follow", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        [first] = submitted(muster, 1)
        told = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        complaint = following.stderr.read()

    assert told["subject"] == f"task/{first}"
    assert following.returncode == 130
    assert complaint == ""


def test_a_reader_that_has_read_enough_ends_the_command_quietly(muster: Muster) -> None:
    submitted(muster, 3)
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "interfaces.cli.main", "events", "tail"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        os.close(writing)
        os.close(reading)
        _, complaint = tail.communicate()

    assert complaint == ""
    assert tail.returncode == 0
