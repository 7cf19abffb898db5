"""The demo's picture of what happened, told by events alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

from interfaces.cli.demo.story import Story

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ALICE, BOB = "agent-alice", "agent-bob"


class Log:
    """Events as the service writes them, a second apart."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._count = 0

    def add(self, kind: str, identity: str = "t1", **facts: Any) -> None:
        self._count += 1
        aggregate = kind.partition(".")[0]
        at = NOON + timedelta(seconds=self._count)
        self._story.take(
            {
                "id": f"1:{self._count}",
                "type": kind,
                "subject": f"{aggregate}/{identity}",
                "time": at.isoformat().replace("+00:00", "Z"),
                "data": facts,
            }
        )

    def assign(
        self,
        identity: str,
        agent_id: str,
        attempt: int = 1,
        scores: dict[str, float] | None = None,
    ) -> None:
        rivals = scores or {agent_id: 10.0}
        candidates = [{"agent_id": rival, "score": score} for rival, score in rivals.items()]
        self.add(
            "task.assigned",
            identity,
            agent_id=agent_id,
            attempt=attempt,
            decision={"winner": agent_id, "candidates": candidates},
        )

    def complete(self, identity: str, result: Any = None) -> None:
        self.add("task.completed", identity, attempt=1, result=result)


def a_story(*labels: str) -> tuple[Story, Log]:
    story = Story()
    story.expect_agent(ALICE, "alice", slots=2)
    story.expect_agent(BOB, "bob", slots=1)
    for number, label in enumerate(labels, start=1):
        story.expect_task(f"t{number}", label)
    return story, Log(story)


def test_a_task_goes_from_the_queue_through_an_agents_hands_to_its_result() -> None:
    story, log = a_story("words of a.py")

    log.assign("t1", ALICE)
    log.add("task.started", attempt=1)
    assert list(story.agents[ALICE].in_hand) == ["t1"]
    assert story.running == 1
    log.complete("t1", {"words": 3})

    assert story.tasks["t1"].result == {"words": 3}
    assert story.agents[ALICE].completed == 1
    assert story.running == 0
    assert story.is_over
    assert story.seconds_worked == 1


def test_a_failed_attempt_is_counted_against_its_agent_and_as_a_retry() -> None:
    story, log = a_story("words of a.py")
    log.assign("t1", ALICE)

    log.add("task.attempt_failed", agent_id=ALICE, message="tired", retry_at="2030-01-01T12:01:00Z")

    assert story.agents[ALICE].failed == 1
    assert story.retries == 1
    assert not story.is_over
    assert "alice failed words of a.py (tired)" in story.moments[-1].text


def test_an_expired_lease_is_followed_to_the_agent_that_finishes_the_task() -> None:
    story, log = a_story("words of a.py")
    log.assign("t1", ALICE)

    log.add("task.lease_expired", attempt=1, agent_id=ALICE, last_attempt=False)
    log.assign("t1", BOB, attempt=2)
    log.complete("t1")

    [rescue] = story.rescues
    assert (rescue.lost_by, rescue.taken_by, rescue.attempt) == ("alice", "bob", 1)
    assert rescue.completed_at == NOON + timedelta(seconds=4)
    assert story.agents[ALICE].lost == 1
    assert story.agents[BOB].completed == 1


def test_a_task_that_is_completed_twice_does_not_go_unnoticed() -> None:
    story, log = a_story("words of a.py")
    log.assign("t1", ALICE)

    log.complete("t1")
    log.complete("t1")

    assert story.tasks["t1"].completions == 2


def test_a_task_that_fails_for_good_ends_the_story_as_well() -> None:
    story, log = a_story("words of a.py")
    log.assign("t1", ALICE)

    log.add("task.failed", code="not_text", message="it is binary")

    assert story.is_over
    assert (story.completed, story.failed, story.running) == (0, 1, 0)


def test_a_task_that_was_given_back_waits_again() -> None:
    story, log = a_story("words of a.py")
    log.assign("t1", ALICE)

    log.add("task.released", attempt=1, agent_id=ALICE)

    assert story.running == 0
    assert story.tasks["t1"].status == "queued"


def test_decisions_among_several_agents_are_counted_by_whether_the_least_loaded_won() -> None:
    story, log = a_story("a", "b", "c")

    log.assign("t1", ALICE)
    log.assign("t2", ALICE, scores={ALICE: 10.0, BOB: 20.0})
    log.assign("t3", BOB, scores={ALICE: 10.0, BOB: 20.0})

    assert story.routing.decisions == 3
    assert story.routing.contested == 2
    assert story.routing.won_by_least_loaded == 1


def test_agents_come_and_go() -> None:
    story, log = a_story()

    log.add("agent.came_online", ALICE)
    assert story.agents[ALICE].online
    log.add("agent.went_offline", ALICE, last_heard_at="2030-01-01T12:00:00Z")

    assert not story.agents[ALICE].online
    assert story.moments[-1].is_trouble


def test_events_of_others_are_counted_and_left_alone() -> None:
    story, log = a_story("a")

    log.complete("somebody-elses-task")

    assert story.events["task.completed"] == 1
    assert story.completed == 0
