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


def test_channels_types_and_labels_say_which_events_are_shown(muster: Muster) -> None:
    [plain] = submitted(muster, 1)
    mine = muster.done("task", "submit", "x", "--label", "team=a").out.strip()
    muster.done("task", "cancel", plain)
    muster.done("task", "cancel", mine)
    muster.done("agent", "register", "counter", "--capability", "count")

    def told(*options: str) -> list[tuple[str, str]]:
        rows = muster.done("events", "tail", "--json", *options).rows
        return [(event["type"], event["subject"].partition("/")[2]) for event in rows]

    assert told("--label", "team=a") == [("task.submitted", mine), ("task.cancelled", mine)]
    assert told("--channel", f"tasks.{plain}", "--type", "task.cancelled") == [
        ("task.cancelled", plain)
    ]
    assert [kind for kind, _ in told("--type", "task.submitted", "--type", "agent.registered")] == [
        *["task.submitted"] * 2,
        "agent.registered",
    ]
    assert [kind for kind, _ in told("--channel", "agents")] == ["agent.registered"]


def test_an_agent_can_be_followed_through_the_log(muster: Muster) -> None:
    agent = muster.done("agent", "register", "counter", "--capability", "count", "--json").json
    submitted(muster, 1)

    events = muster.done("events", "tail", "--aggregate", agent["agent_id"], "--json").rows

    assert [event["type"] for event in events] == ["agent.registered"]


@pytest.mark.parametrize("aggregate", ["01234567-0123-7123-8123-0123456789ab", "nonsense"])
def test_what_does_not_exist_cannot_be_followed(muster: Muster, aggregate: str) -> None:
    said = muster("events", "tail", "--aggregate", aggregate)

    assert said.code == 5
    assert said.err.startswith("muster: there is no tasks or agents")


def test_a_bad_channel_or_place_is_told_in_one_line(muster: Muster) -> None:
    for options in (["--channel", "taskz"], ["--after", "99:1"], ["--channel", "metrics"]):
        said = muster("events", "tail", *options)
        assert said.code == 1
        assert len(said.err.splitlines()) == 1


def test_who_may_see_tasks_alone_sees_them(muster: Muster, monkeypatch: pytest.MonkeyPatch) -> None:
    [task_id] = submitted(muster, 1)
    program = muster.done("client", "add", "reader", "--scope", "tasks:read", "--json").json
    monkeypatch.delenv("MUSTERROLL_USERNAME")
    monkeypatch.setenv("MUSTERROLL_CLIENT_ID", program["client_id"])
    monkeypatch.setenv("MUSTERROLL_CLIENT_SECRET", program["client_secret"])

    [event] = muster.done("events", "tail", "--channel", "tasks", "--json").rows

    assert event["subject"] == f"task/{task_id}"
    assert muster("events", "tail").code == 4


def test_following_goes_on_behind_what_was_shown(muster: Muster) -> None:
    _, second = submitted(muster, 2)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "interfaces.cli.main", "events", "tail", "--follow", "--json"),
            *("--last", "1"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        told = [json.loads(following.stdout.readline())]
        [third] = submitted(muster, 1)
        told.append(json.loads(following.stdout.readline()))
        following.send_signal(signal.SIGINT)

    assert [event["subject"] for event in told] == [f"task/{second}", f"task/{third}"]
