"""`muster task` against a real service."""

from pathlib import Path
from uuid import UUID

import pytest

from musterroll import Task, TaskFailed
from tests.interfaces.muster import Muster
from tests.interfaces.service import Service


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def double(task: Task) -> int:
    return 2 * int(task.input)


def refuse(_task: Task) -> None:
    raise TaskFailed("unreadable", "There is nothing to read.")


def test_submit_prints_the_id_alone_so_that_a_shell_can_keep_it(muster: Muster) -> None:
    said = muster.done("task", "submit", "count", "--input", '{"text": "to be"}')

    task_id = said.out.strip()
    assert said.err == ""
    assert muster.done("task", "get", task_id, "--json").json["input"] == {"text": "to be"}


def test_everything_that_can_be_said_of_a_task_reaches_the_service(muster: Muster) -> None:
    parent = muster.done("task", "submit", "whole").out.strip()

    said = muster.done(
        *("task", "submit", "part", "--priority", "7", "--requires", "gpu", "--requires", "fast"),
        *("--label", "team=core", "--label", "stage=2", "--max-attempts", "5"),
        *("--timeout-seconds", "60", "--not-before", "1h", "--deadline", "2099-01-01T00:00:00Z"),
        *("--parent", parent, "--approval", "--json"),
    )

    task = muster.done("task", "get", said.json["task_id"], "--json").json
    assert task["kind"] == "part"
    assert task["priority"] == 7
    assert sorted(task["requires"]) == ["fast", "gpu"]
    assert task["labels"] == {"team": "core", "stage": "2"}
    assert (task["max_attempts"], task["timeout_seconds"]) == (5, 60)
    assert task["not_before"] is not None
    assert task["deadline"].startswith("2099-01-01T00:00:00")
    assert task["parent_id"] == parent
    assert task["status"] == "awaiting_approval"


def test_an_idempotency_key_submits_once_however_often_it_is_used(muster: Muster) -> None:
    first, second = (
        muster.done("task", "submit", "count", "--idempotency-key", "monday").out for _ in range(2)
    )

    assert first == second
    assert len(muster.done("task", "list", "--json").rows) == 1


def test_submit_and_wait_prints_the_result(muster: Muster) -> None:
    with muster.worker("double", double):
        said = muster.done("task", "submit", "double", "--input", "21", "--wait")

    assert said.json == 42


def test_waiting_for_a_task_that_fails_exits_with_its_reason(muster: Muster) -> None:
    task_id = muster.done("task", "submit", "read").out.strip()
    with muster.worker("read", refuse):
        said = muster("task", "wait", task_id)

    assert said.code == 1
    assert said.out == ""
    assert said.err == "muster: the task failed: unreadable: There is nothing to read.\n"


def test_waiting_gives_up_when_it_was_told_to(muster: Muster) -> None:
    task_id = muster.done("task", "submit", "nobody-can").out.strip()

    said = muster("task", "wait", task_id, "--timeout", "0.2")

    assert said.code == 1
    assert "still queued" in said.err


def test_watch_tells_each_change_until_the_end(muster: Muster) -> None:
    task_id = muster.done("task", "submit", "double", "--input", "4").out.strip()
    with muster.worker("double", double):
        rows = muster.done("task", "watch", task_id, "--json").rows

    assert rows[0]["id"] == task_id
    assert [row["version"] for row in rows] == sorted({row["version"] for row in rows})
    assert (rows[-1]["status"], rows[-1]["result"]) == ("completed", 8)
    assert "completed" in muster.done("task", "watch", task_id).out


def test_a_file_of_tasks_is_submitted_in_order(muster: Muster, tmp_path: Path) -> None:
    file = tmp_path / "tasks.ndjson"
    file.write_text("\n".join(f'{{"kind": "k{number}"}}' for number in range(3)))

    ids = muster.done("task", "submit-many", str(file)).out.split()

    kinds = [muster.done("task", "get", task_id, "--json").json["kind"] for task_id in ids]
    assert kinds == ["k0", "k1", "k2"]


def test_one_refused_task_of_a_file_does_not_hide_the_others(
    muster: Muster, tmp_path: Path
) -> None:
    file = tmp_path / "tasks.ndjson"
    file.write_text('{"kind": "fine"}\n{"kind": "late", "deadline": "2020-01-01T00:00:00Z"}\n')

    said = muster("task", "submit-many", str(file), "--json")

    accepted, refused = said.rows
    assert said.code == 1
    assert accepted["task_id"]
    assert refused["error"]["code"] == "deadline_passed"
    assert "1 of 2 tasks" in said.err


def test_lists_are_filtered_and_read_to_the_limit(muster: Muster) -> None:
    for number in range(3):
        muster.done("task", "submit", "count", "--label", f"number={number}")
    muster.done("task", "submit", "other")

    kinds = [row["kind"] for row in muster.done("task", "list", "--json").rows]
    assert kinds == ["other", "count", "count", "count"]
    assert len(muster.done("task", "list", "--kind", "count", "--limit", "2", "--json").rows) == 2
    [row] = muster.done("task", "list", "--label", "number=1", "--json").rows
    assert row["labels"] == {"number": "1"}
    assert muster.done("task", "list", "--status", "failed").out == ""


def test_a_table_shows_each_task_on_a_line(muster: Muster) -> None:
    task_id = muster.done("task", "submit", "count").out.strip()

    heading, row = muster.done("task", "list").out.splitlines()

    assert heading.split() == ["TASK", "STATUS", "KIND", "ATTEMPT", "DONE", "SUBMITTED"]
    assert row.split()[:4] == [task_id, "queued", "count", "0/3"]


def test_why_a_task_waits_is_told_in_words(muster: Muster) -> None:
    task_id = muster.done("task", "submit", "nobody-can").out.strip()

    assert "queued (no capable agent)" in muster.done("task", "status", task_id).out


def test_counts_name_every_status(muster: Muster) -> None:
    muster.done("task", "submit", "count")

    counts = muster.done("task", "counts", "--json").json["counts"]

    assert counts["queued"] == 1
    assert counts["failed"] == 0
    assert "queued" in muster.done("task", "counts").out


def test_approval_rejection_and_cancellation(muster: Muster) -> None:
    ids = [muster.done("task", "submit", "x", "--approval").out.strip() for _ in range(3)]

    muster.done("task", "approve", ids[0])
    muster.done("task", "reject", ids[1], "--reason", "too dear")
    cancelled = muster.done("task", "cancel", ids[2], "--json").json

    states = [muster.done("task", "status", i, "--json").json["status"] for i in ids]
    assert states == ["queued", "cancelled", "cancelled"]
    assert cancelled["task_id"] == ids[2]
    said = muster("task", "wait", ids[1])
    assert (said.code, said.err) == (1, "muster: the task was cancelled: too dear.\n")


def test_approving_twice_is_refused_with_the_reason(muster: Muster) -> None:
    task_id = muster.done("task", "submit", "x", "--approval").out.strip()
    muster.done("task", "approve", task_id)

    said = muster("task", "approve", task_id)

    assert said.code == 1
    assert "not awaiting approval" in said.err


def test_failed_tasks_are_retried_one_by_one_or_all_together(muster: Muster) -> None:
    with muster.worker("read", refuse):
        ids = [muster.done("task", "submit", "read").out.strip() for _ in range(2)]
        for task_id in ids:
            assert muster("task", "wait", task_id).code == 1

    one = muster.done("task", "retry", ids[0]).out
    every = muster.done("task", "retry", "--all-failed", "--json").rows

    assert ids[0] in one
    assert [row["task_id"] for row in every] == [ids[1]]
    assert muster("task", "retry", ids[0]).code == 1


@pytest.mark.parametrize("task_id", [str(UUID(int=7)), "nonsense", "../healthz"])
def test_a_task_that_is_not_there_is_not_found(muster: Muster, task_id: str) -> None:
    for command in ("status", "get", "wait", "watch", "cancel"):
        said = muster("task", command, task_id)
        assert said.code == 5
        assert said.err.count("\n") == 1
