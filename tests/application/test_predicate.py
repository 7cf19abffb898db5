"""Predicates: what can be said of a frame, and what is refused and why."""

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from application.projections.agent_roster import RosterLine
from application.time_travel.frame import Frame
from application.time_travel.predicate.names import EVERY, View
from application.time_travel.predicate.reading import DEPTH_MAX, TASKS_MAX, predicate_of
from application.time_travel.predicate.tokens import LENGTH_MAX, BadPredicate
from domain.agent import agent_id_of
from tests.application.past import a_card
from tests.given import ALICE, NOON, TENANT
from tests.randomly import repeatably

TASK = ALICE


def a_view() -> View:
    """Two queued reviews, one task that runs, three that failed; ada is online and holds one."""
    ada = agent_id_of(TENANT, "ada")
    frame = Frame(tenant=TENANT, position=10)
    frame.counts["failed"] = 3
    for number, changes in enumerate([{}, {}, {"status": "running", "agent_id": ada}]):
        card = a_card(**changes)
        frame.cards[agent_id_of(TENANT, str(number))] = card
        frame.enter(card)
    frame.lines[ada] = RosterLine(
        agent_id=ada,
        tenant=TENANT,
        name="ada",
        capabilities=["review"],
        slots=4,
        labels={},
        standing="active",
        online=True,
        registered_at=NOON,
        version=2,
        position=2,
        failed=3,
    )
    earlier = a_card(task_id=TASK)
    return View(frame, {TASK: ([1, 5], [earlier, replace(earlier, status="assigned", attempt=1)])})


@pytest.mark.parametrize(
    "text",
    [
        "queue.depth = 2",
        "queue.depth == 2 and tasks.failed > 2",
        "queue.depth > 5 or tasks.running = 1",
        "not queue.depth > 5",
        "not not queue.depth = 2",
        "(queue.depth + tasks.running - 1) = 2",
        "tasks.open = 3 and tasks.total = 6",
        "1 < 2.5",
        'queue.kind["review"] = 2 and queue.kind["nothing"] = 0',
        'agent["ada"].online',
        'agent["ada"].online = true and agent["ada"].running = 1 and agent["ada"].load = 25',
        'agent["ada"].standing != "retired"',
        "agents.online = 1 and agents.slots = 4 and agents.load = 25 and agents.running = 1",
        "agents.total = 1 and agents.offline + agents.draining + agents.retired = 0",
        f'task["{TASK}"].status = "assigned"',
        f"task['{TASK}'].attempt >= 1",
        "2 <= queue.depth",
        "true",
        "  queue.depth=2  ",
    ],
)
def test_it_holds(text: str) -> None:
    assert predicate_of(text).holds(a_view())
    assert not predicate_of(f"not ({text})").holds(a_view())


@pytest.mark.parametrize(
    "text",
    [
        "queue.depth > 2",
        "queue.depth = 2 and false",
        'agent["nobody"].running >= 0',
        'agent["nobody"].running < 0',
        'not agent["ada"].online',
        f'task["{TASK}"].agent = "x"',
        f'task["{TASK}"].agent != "x"',
        'agent["nobody"].running + 1 = 1',
    ],
)
def test_it_does_not_hold(text: str) -> None:
    assert not predicate_of(text).holds(a_view())


@pytest.mark.parametrize(
    ("text", "column", "nearest"),
    [
        ("", 1, None),
        ("   ", 1, None),
        ("queue.dept > 1", 1, "queue.depth"),
        ("queue > 1", 1, ...),
        ("tasks.fialed > 1", 1, "tasks.failed"),
        ('agent["ada"].runing > 1', 14, 'agent["..."].running'),
        ('agent["ada"] > 1', 14, None),
        ("agent.running > 1", 1, ...),
        ('task["x"].status = "failed"', 1, None),
        ("queue.depth >", 14, None),
        ("queue.depth > 1 1", 17, None),
        ("(queue.depth > 1", 17, None),
        ("queue.depth > 1)", 16, None),
        ("queue.depth", 1, None),
        ('queue.depth > "1"', 15, None),
        ("queue.depth and true", 1, None),
        ("not 1", 5, None),
        ("true < false", 6, None),
        ('"a" + 1 = 2', 1, None),
        ("queue.depth > 'x", 15, None),
        ("queue.depth ? 1", 13, None),
        ("queue.depth > 1e9", 15, None),
        ("queue.depth > 1234567890123456", 15, None),
        ("__import__('os')", 1, ...),
        ("queue.__class__ = 1", 1, ...),
        ("queue.depth > 1 # x", 17, None),
        ("and", 1, None),
        ("x" * (LENGTH_MAX + 1), LENGTH_MAX + 1, None),
        ("(" * (DEPTH_MAX + 1) + "true" + ")" * (DEPTH_MAX + 1), DEPTH_MAX + 1, None),
        ("not " * (DEPTH_MAX + 1) + "true", 4 * DEPTH_MAX + 1, None),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_column_and_the_nearest_name(
    text: str, column: int, nearest: Any
) -> None:
    with pytest.raises(BadPredicate) as refusal:
        predicate_of(text)

    assert refusal.value.facts["column"] == column
    if nearest is not ...:
        assert refusal.value.facts["nearest"] == nearest


def test_only_so_many_tasks_are_named() -> None:
    names = [f'task["{agent_id_of(TENANT, str(n))}"].attempt = 1' for n in range(TASKS_MAX + 1)]

    assert len(predicate_of(" or ".join(names[:TASKS_MAX])).tasks) == TASKS_MAX
    with pytest.raises(BadPredicate, match="more than 4 tasks"):
        predicate_of(" or ".join(names))


@repeatably
@given(
    st.text(alphabet="queue.depth tasksfail()[]\"'<>=!+-0123456789andornotrue\n\té", max_size=60)
)
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        predicate = predicate_of(text)
    except BadPredicate as refusal:
        column = refusal.facts["column"]
        assert isinstance(column, int)
        assert 1 <= column <= len(text) + 1
    else:
        assert predicate.holds(a_view()) in {True, False}


def test_every_name_that_is_offered_can_be_used() -> None:
    for name in EVERY:
        named = name.replace("...", str(TASK) if name.startswith("task[") else "ada")
        for text in (f"{named} = 1", f'{named} = "x"', f"{named} = true"):
            try:
                predicate = predicate_of(text)
            except BadPredicate:
                continue
            predicate.holds(a_view())
            break
        else:
            pytest.fail(name)
