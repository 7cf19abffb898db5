"""`muster task why`, `muster events causes` and `effects`, `muster history whatif`."""

from collections.abc import Iterator

import pytest

from tests.interfaces.muster import Muster
from tests.interfaces.service import Service


@pytest.fixture
def muster(
    shared_service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(shared_service, monkeypatch, capsys)


@pytest.fixture
def task_id(muster: Muster) -> Iterator[str]:
    """A task that an agent did."""
    with muster.worker("review", lambda _task: "fine"):
        receipt = muster.done("task", "submit", "review", "--json").json
        muster.done("task", "wait", receipt["task_id"])
    return receipt["task_id"]  # type: ignore[no-any-return]


def test_why_tells_every_step_with_its_reason(muster: Muster, task_id: str) -> None:
    said = muster.done("task", "why", task_id)

    lines = said.out.splitlines()
    assert "submitted it. It was queued at once." in lines[0]
    assert "review-agent was chosen" in lines[1]
    assert lines[2].strip() == "Made again from what was recorded, it comes out the same."
    assert "was completed" in lines[3]
    assert muster.done("task", "why", task_id, "--json").json["task_id"] == task_id


def test_causes_and_effects_are_lines_from_the_nearest_on(muster: Muster, task_id: str) -> None:
    steps = muster.done("task", "why", task_id, "--json").json["steps"]
    first, last = steps[0]["cursor"], steps[-1]["cursor"]

    behind = muster.done("events", "causes", last).out.splitlines()
    ahead = muster.done("events", "effects", first.partition(":")[2]).out.splitlines()

    assert behind[0].startswith(last)
    assert behind[-1].startswith(first)
    assert "(root)" in behind[-1]
    assert ahead[0].startswith(first)
    assert any(line.startswith(last) and "<- " in line for line in ahead)
    graph = muster.done("events", "causes", last, "--depth", "1", "--json").json
    assert (len(graph["items"]), graph["truncated"]) == (2, True)


def test_what_if_prints_shares_times_and_the_caveat(muster: Muster, task_id: str) -> None:
    said = muster.done("history", "whatif", "--policy", "least_outstanding")

    assert "least_outstanding v1" in said.out
    assert "review-agent" in said.out
    assert "simulated, weighted_load v1" in said.out
    assert "Estimated by simulation." in said.out
    found = muster.done("history", "whatif", "--policy", "weighted_load", "--json").json
    assert found["changed"] == 0


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (("task", "why", "nonsense"), 5, "there is no task 'nonsense'"),
        (("task", "why", "018f6a3e-1c2b-7d4e-9f00-0123456789ab"), 5, "There is no task"),
        (("events", "causes", "x"), 5, "There is no event x"),
        (("events", "effects", "999999999"), 1, "beyond the end"),
        (("history", "whatif", "--policy", "oracle"), 1, "There is no policy 'oracle'"),
    ],
)
def test_what_fails_is_one_line(
    muster: Muster, task_id: str, line: tuple[str, ...], code: int, reason: str
) -> None:
    said = muster(*line)

    assert said.code == code, said
    assert reason in said.err
    assert len(said.err.splitlines()) == 1
