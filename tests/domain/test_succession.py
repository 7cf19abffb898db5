"""What may follow on what: everything that is ever decided may, and what is not, may not."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies

from domain.agent import Agent, agent_id_of
from domain.aggregate import Aggregate, event_of
from domain.errors import ControlPlaneError
from domain.succession import AGENT_RULES, TASK_RULES, is_half, may_follow
from domain.task import Task
from tests.domain.test_task_random_walk import Try, specifications, tried, tries
from tests.given import (
    ALICE,
    BOB,
    MINUTE,
    NOON,
    TENANT,
    a_decision,
    a_specification,
    a_task,
    assigned,
    attempt_failed,
    completed,
    started,
)
from tests.randomly import repeatably


def an_event(kind: Any, of: Aggregate, **fields: Any) -> Any:
    return event_of(
        kind, dict(fields), originator_id=of.id, originator_version=of.version + 1, timestamp=NOON
    )


def test_there_is_a_rule_for_every_event_but_the_first_ones() -> None:
    for kind, rules in ((Task, TASK_RULES), (Agent, AGENT_RULES)):
        events = {one for one in vars(kind).values() if isinstance(one, type)}
        first = {Task.Submitted, Agent.Registered}
        ours = {one for one in events if hasattr(one, "TOPIC")} - first
        assert ours == set(rules)


@repeatably
@given(specifications, strategies.lists(tries, min_size=5, max_size=40))
def test_whatever_is_decided_may_follow(specification: Any, plan: list[Try]) -> None:
    now = NOON
    try:
        task = Task.submit(ALICE, specification, tenant=TENANT, parent=None, now=now)
    except ControlPlaneError:
        return
    events = list(task.take_events())
    for one in plan:
        now += one.elapsed
        events += tried(task, one, now)

    folded, half = None, False
    for event in events:
        assert may_follow(folded, event), event
        assert not half or isinstance(event, Task.Failed)
        half = is_half(event)
        folded = event.mutate(folded)
    assert not half
    assert not may_follow(folded, events[0])


@pytest.mark.parametrize(
    ("steps", "event", "fields"),
    [
        ([], Task.Approved, {}),
        ([], Task.Queued, {}),
        ([], Task.Retried, {}),
        ([], Task.Started, {"attempt": 1}),
        ([], Task.Released, {"attempt": 1, "agent_id": ALICE}),
        ([], Task.Assigned, {"attempt": 2, "agent_id": ALICE, "decision": a_decision(ALICE)}),
        ([], Task.Assigned, {"attempt": 1, "agent_id": BOB, "decision": a_decision(ALICE)}),
        ([assigned()], Task.Completed, {"attempt": 1, "agent_id": BOB, "result": None}),
        ([assigned()], Task.Completed, {"attempt": 2, "agent_id": ALICE, "result": None}),
        ([assigned(), started()], Task.Started, {"attempt": 1}),
        ([assigned(), completed()], Task.Cancelled, {"reason": None}),
        ([assigned(), completed()], Task.Failed, {"code": "x", "message": ""}),
        ([assigned(), attempt_failed()], Task.Released, {"attempt": 1, "agent_id": ALICE}),
    ],
)
def test_what_cannot_have_happened_may_not_follow(
    steps: Any, event: Any, fields: dict[str, Any]
) -> None:
    task = a_task(*steps)
    if event is Task.Assigned:
        fields = {**fields, "lease_expires_at": NOON + MINUTE}

    assert not may_follow(task, an_event(event, task, **fields))


@pytest.mark.parametrize(
    ("changes", "possible"),
    [
        ({}, True),
        ({"parent_id": BOB, "root_id": BOB, "depth": 1}, True),
        ({"parent_id": BOB}, False),
        ({"root_id": BOB}, False),
        ({"depth": 1}, False),
        ({"parent_id": ALICE, "root_id": BOB, "depth": 1}, False),
        ({"parent_id": BOB, "root_id": ALICE, "depth": 1}, False),
    ],
)
def test_a_task_has_a_parent_and_an_ancestor_or_neither(
    changes: dict[str, Any], *, possible: bool
) -> None:
    task = Task.submit(ALICE, a_specification(), tenant=TENANT, parent=None, now=NOON)
    (submitted,) = task.take_events()
    fields = {**vars(submitted), **changes}

    assert may_follow(None, event_of(Task.Submitted, fields)) is possible


def registered(agent_id: UUID) -> Agent:
    return Agent.register(
        agent_id,
        tenant=TENANT,
        name="ada",
        capabilities=("review",),
        slots=1,
        labels={},
        now=NOON,
    )


def test_an_agent_has_the_id_that_follows_from_its_name() -> None:
    right, wrong = registered(agent_id_of(TENANT, "ada")), registered(ALICE)

    assert may_follow(None, right.take_events()[0])
    assert not may_follow(None, wrong.take_events()[0])


def test_an_agents_life_may_follow_and_its_repetition_may_not() -> None:
    agent = registered(agent_id_of(TENANT, "ada"))
    agent.take_events()
    lives: list[Callable[[], None]] = [
        lambda: agent.come_online(now=NOON),
        lambda: agent.drain(now=NOON),
        lambda: agent.resume(now=NOON),
        lambda: agent.go_offline(NOON, now=NOON),
        lambda: agent.change(capabilities=None, slots=2, labels=None, now=NOON),
        lambda: agent.come_online(now=NOON),
        lambda: agent.retire(now=NOON),
        lambda: agent.reinstate(("review",), 1, {}, now=NOON),
    ]
    for live in lives:
        before = _twin(agent)
        live()
        (event,) = agent.take_events()
        assert may_follow(before, event)
        again = an_event(type(event), agent, **_own(event))
        assert may_follow(agent, again) == isinstance(event, Agent.Changed)
        assert not may_follow(a_task(), again)


def _own(event: Any) -> dict[str, Any]:
    about = {"originator_id", "originator_version", "timestamp"}
    return {name: value for name, value in vars(event).items() if name not in about}


def _twin(agent: Agent) -> Agent:
    twin: Agent = object.__new__(Agent)
    vars(twin).update(vars(agent))
    return twin
