"""What causes what, by definition and by what was written down."""

from typing import Any
from uuid import UUID

import pytest

from application.ids import uuid7
from domain.catalogue import EVENTS
from domain.causation import ROOTS, RULES, Fact, causes_of, relatives
from tests.given import ALICE, BOB

TASK, CHILD = uuid7(), uuid7()


def a_fact(position: int, topic: str, of: UUID = TASK, **fields: Any) -> Fact:
    about: dict[str, Any] = {"version": position, "command_id": uuid7()}
    return Fact(position=position, topic=topic, aggregate_id=of, **(about | fields))


def causes(*facts: Fact) -> dict[int, tuple[int, ...]]:
    """Of every one of these, among all of them."""
    return {
        fact.position: causes_of(
            fact,
            sorted(
                (
                    one
                    for one in facts
                    if one.position < fact.position
                    and one.aggregate_id in (fact.aggregate_id, *relatives(fact))
                ),
                key=lambda one: -one.position,
            ),
        )
        for fact in facts
    }


def test_every_event_of_a_task_or_an_agent_is_a_root_or_has_a_rule() -> None:
    ours = {topic for topic in EVENTS if topic.startswith(("task.", "agent."))}

    assert ROOTS | RULES.keys() == ours
    assert ROOTS & RULES.keys() == set()


def test_whatever_else_there_is_has_the_cause_that_was_recorded_or_none() -> None:
    others = [topic for topic in EVENTS if topic not in ROOTS | RULES.keys()]

    for topic in [*others, "plan.applied"]:
        assert causes_of(a_fact(9, topic, recorded=4), ()) == (4,)
        assert causes_of(a_fact(9, topic), ()) == ()


def test_a_task_goes_from_its_submission_to_its_end_by_way_of_its_attempts() -> None:
    found = causes(
        a_fact(1, "task.submitted"),
        a_fact(2, "task.assigned", attempt=1, agent_id=ALICE),
        a_fact(3, "task.started", attempt=1),
        a_fact(4, "task.progressed", attempt=1),
        a_fact(5, "task.attempt_failed", attempt=1, agent_id=ALICE),
        a_fact(6, "task.queued"),
        a_fact(7, "task.assigned", attempt=2, agent_id=BOB),
        a_fact(8, "task.report_refused", attempt=1, agent_id=ALICE),
        a_fact(9, "task.released", attempt=2, agent_id=BOB),
        a_fact(10, "task.assigned", attempt=3, agent_id=BOB),
        a_fact(11, "task.completed", attempt=3, agent_id=BOB),
    )

    assert found == {
        1: (),
        2: (1,),
        3: (2,),
        4: (2,),
        5: (2,),
        6: (5,),
        7: (6,),
        8: (2,),
        9: (7,),
        10: (9,),
        11: (10,),
    }


def test_of_several_events_of_one_command_the_second_is_caused_by_the_first() -> None:
    command_id = uuid7()
    found = causes(
        a_fact(1, "task.submitted"),
        a_fact(2, "task.assigned", attempt=1, agent_id=ALICE),
        a_fact(3, "task.attempt_failed", attempt=1, command_id=command_id, recorded=2),
        a_fact(4, "task.failed", command_id=command_id, recorded=2),
    )

    assert found[3] == (2,)
    assert found[4] == (3,)


def test_a_missed_deadline_goes_back_to_the_submission_that_set_it() -> None:
    found = causes(a_fact(1, "task.submitted"), a_fact(2, "task.failed"))

    assert found[2] == (1,)


@pytest.mark.parametrize(("assigned", "cause"), [(True, 2), (False, 1)])
def test_a_child_comes_of_the_attempt_of_its_parent(assigned: bool, cause: int) -> None:
    found = causes(
        a_fact(1, "task.submitted"),
        a_fact(2, "task.assigned" if assigned else "task.approved", attempt=1),
        a_fact(3, "task.submitted", CHILD, version=1, parent_id=TASK),
        a_fact(4, "task.assigned", attempt=2),
    )

    assert found[3] == (cause,)


def test_an_agent_that_fell_silent_is_a_cause_of_the_leases_that_it_lost() -> None:
    found = causes(
        a_fact(1, "agent.registered", ALICE),
        a_fact(2, "agent.came_online", ALICE),
        a_fact(3, "agent.went_offline", ALICE),
        a_fact(4, "agent.came_online", ALICE),
        a_fact(5, "task.submitted"),
        a_fact(6, "task.assigned", attempt=1, agent_id=ALICE),
        a_fact(7, "agent.went_offline", ALICE),
        a_fact(8, "task.lease_expired", attempt=1, agent_id=ALICE, recorded=6),
    )

    assert [found[n] for n in (2, 3, 4, 7)] == [(1,), (2,), (3,), (4,)]
    assert found[8] == (6, 7)


def test_a_silence_before_the_lease_has_nothing_to_do_with_its_expiry() -> None:
    found = causes(
        a_fact(1, "agent.went_offline", ALICE),
        a_fact(2, "task.submitted"),
        a_fact(3, "task.assigned", attempt=1, agent_id=ALICE),
        a_fact(4, "task.lease_expired", attempt=1, agent_id=ALICE),
    )

    assert found[4] == (3,)


def test_what_was_recorded_and_what_follows_by_definition_are_both_causes() -> None:
    found = causes(
        a_fact(1, "task.submitted"),
        a_fact(2, "task.report_refused", attempt=1, agent_id=ALICE),
        a_fact(3, "task.assigned", attempt=1, agent_id=ALICE, recorded=2),
    )

    assert found[3] == (1, 2)


@pytest.mark.parametrize("recorded", [9, 10, 0, -1])
def test_what_says_that_the_future_caused_it_is_not_believed(recorded: int) -> None:
    assert causes_of(a_fact(9, "task.queued", recorded=recorded), ()) == ()


def test_what_people_do_to_a_task_has_no_cause_in_the_log() -> None:
    before = [a_fact(1, "task.submitted")]

    assert {topic: causes_of(a_fact(2, topic), before) for topic in sorted(ROOTS)} == dict.fromkeys(
        sorted(ROOTS), ()
    )
