"""`muster history`, and `--at`: the past on the command line."""

import pytest

from tests.interfaces.muster import Muster
from tests.interfaces.service import Service


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


@pytest.fixture
def task_id(muster: Muster) -> str:
    """A task that was cancelled, among others."""
    task_id = muster.done("task", "submit", "review").out.strip()
    muster.done("task", "submit", "review")
    muster.done("agent", "register", "ada", "--capability", "review", "--slots", "2")
    muster.done("task", "cancel", task_id, "--reason", "no need")
    return task_id


def test_a_task_is_shown_as_it_was(muster: Muster, task_id: str) -> None:
    was = muster.done("task", "get", task_id, "--at", "v1", "--json").json
    status = muster.done("task", "status", task_id, "--at", was["at"]["time"], "--json").json

    assert (was["status"], was["version"]) == ("queued", 1)
    assert status["status"] == "queued"
    assert "cancelled" in muster.done("task", "status", task_id).out
    assert "queued" in muster.done("task", "get", task_id, "--at", was["at"]["cursor"]).out


def test_an_agent_is_shown_as_it_was(muster: Muster, task_id: str) -> None:
    was = muster.done("agent", "get", "ada", "--at", "v1", "--json").json

    assert (was["state"], was["running"]) == ("registered", 0)
    assert "ada" in muster.done("agent", "get", "ada", "--at", "v1").out
    assert "was registered" in muster.done("agent", "history", "ada").out


def test_the_story_of_a_task_is_told(muster: Muster, task_id: str) -> None:
    rows = muster.done("task", "history", task_id, "--json").rows
    told = muster.done("task", "history", task_id).out

    assert [row["type"] for row in rows] == ["task.submitted", "task.cancelled"]
    assert "The task was cancelled: no need." in told
    assert muster.done("task", "history", task_id, "--limit", "1", "--json").rows == rows[:1]


def test_the_freeze_frame_is_shown_to_people_and_to_programs(muster: Muster, task_id: str) -> None:
    now = muster.done("history", "at", "now", "--json").json
    then = muster.done("task", "get", task_id, "--at", "v1", "--json").json["at"]["cursor"]
    shown = muster.done("history", "at", then).out

    assert now["tasks"]["counts"]["cancelled"] == 1
    assert "1 queued" in shown
    assert then in shown
    assert "critical: 1 task waits for review, and no agent can do them." in shown
    assert "ada" in muster.done("history", "at", "now").out


def test_bisect_prints_the_event_and_what_it_cost(muster: Muster, task_id: str) -> None:
    found = muster.done("history", "bisect", "tasks.cancelled > 0").out
    scanned = muster.done("history", "bisect", "tasks.cancelled > 0", "--scan", "--json").json
    never = muster.done("history", "bisect", "queue.depth > 100").out
    already = muster.done("history", "bisect", "queue.depth < 100").out

    assert "task.cancelled" in found
    assert task_id in found
    assert "frames made" in found
    assert scanned["event"]["subject"] == f"task/{task_id}"
    assert "never held" in never
    assert "held already" in already


def test_what_is_wrong_is_one_line(muster: Muster, task_id: str) -> None:
    for arguments, reason in (
        (("task", "get", task_id, "--at", "v9"), "v9 has not come; the last is v2."),
        (("history", "at", "yesterday"), "'yesterday' is no moment."),
        (("history", "bisect", "queue.dept > 1"), "Did you mean queue.depth?"),
    ):
        said = muster(*arguments)

        assert said.code == 1
        assert reason in said.err
        assert said.err.count("\n") == 1
