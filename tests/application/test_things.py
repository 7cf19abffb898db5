"""One task or agent as of a moment: exactly the fold of its events up to there."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from application.cursor import Cursor, CursorAhead
from application.moments import BeforeHistory, Moment, VersionAhead
from application.time_travel.things import Things
from application.waiting import waiting_reason
from domain.errors import AggregateNotFound, EpochEnded
from tests.application.desk import submit
from tests.application.past import OTHER, Past, a_past
from tests.application.retold import retold
from tests.conftest import Database
from tests.given import TENANT


@pytest.fixture
def past(database: Database) -> Iterator[Past]:
    with a_past(database) as past:
        yield past


@pytest.fixture
def things(past: Past) -> Things:
    return past.things


def test_every_task_at_every_position_is_what_its_events_up_to_there_say(
    past: Past, things: Things, rng: random.Random
) -> None:
    past.write(rng, length=250)
    past.project()
    past.take()
    records = past.records()

    for position in range(1, len(records) + 1):
        story = retold(one for one in records if one.position <= position)
        changed = records[position - 1].aggregate_id
        for task_id in {changed, *rng.sample(sorted(story.tasks), min(2, len(story.tasks)))}:
            if task_id not in story.tasks:
                continue
            told: dict[str, Any] = story.tasks[task_id]
            moment = Moment(cursor=Cursor(1, position))
            standing, at = past.run_story(things.task(told["tenant"], task_id, moment))
            assert {name: getattr(standing.card, name) for name in told} == told
            assert at.cursor == Cursor(1, position)
            by_version = Moment(version=told["version"])
            again, _ = past.run_story(things.task(told["tenant"], task_id, by_version))
            assert again.card == standing.card


def test_every_agent_at_every_position_is_what_the_history_up_to_there_says(
    past: Past, things: Things, rng: random.Random
) -> None:
    past.write(rng, length=250)
    records = past.records()

    for position in range(1, len(records) + 1):
        story = retold(one for one in records if one.position <= position)
        [agent_id] = rng.sample(sorted(story.agents), 1)
        told: dict[str, Any] = story.agents[agent_id]
        moment = Moment(cursor=Cursor(1, position))
        agent, _ = past.run_story(things.agent(told["tenant"], agent_id, moment))
        line: Any = agent.status.line
        shown = {name: getattr(line, name) for name in told}
        assert shown | {"capabilities": list(line.capabilities)} == told
        held = story.open_tasks(told["tenant"]).values()
        assert agent.status.running == sum(task["agent_id"] == agent_id for task in held)
        came_online = any(
            one.topic == "agent.came_online" and one.aggregate_id == agent_id
            for one in records[:position]
        )
        silent = "offline" if came_online else "registered"
        standing = told["standing"]
        expected = standing if standing != "active" else "available" if told["online"] else silent
        assert agent.state == expected


def test_why_a_task_waited_is_told_by_the_agents_of_that_moment(
    past: Past, things: Things, rng: random.Random
) -> None:
    head = past.write(rng)
    task = submit()
    past.run(task)

    standing, _ = past.run_story(things.task(TENANT, task.task_id, Moment(version=1)))

    agents = list(past.frame(head + 1).lines.values())
    assert standing.waiting_reason == waiting_reason(standing.card, agents)
    assert standing.waiting_reason is not None


def test_a_long_story_is_folded_page_by_page(
    past: Past, things: Things, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.write(rng, length=200)
    story = retold(past.records())
    longest = max(story.tasks.values(), key=lambda task: task["version"])
    whole, _ = past.run_story(things.task(longest["tenant"], longest["task_id"], None))

    monkeypatch.setattr("application.time_travel.things.PAGE_EVENTS", 2)
    paged, _ = past.run_story(things.task(longest["tenant"], longest["task_id"], None))

    assert paged.card == whole.card
    assert paged.card.version == longest["version"] > 2


@pytest.mark.parametrize(
    ("moment", "error", "nearest"),
    [
        ("v3", VersionAhead, "v1"),
        ("1:99", CursorAhead, "1:4"),
        ("1:2", BeforeHistory, "1:4"),
        ("1:0", BeforeHistory, "1:4"),
        ("2:4", EpochEnded, None),
        ("2026-01-01T00:00:00Z", BeforeHistory, "1:4"),
    ],
)
def test_a_moment_that_a_task_has_not_had_is_refused_with_the_nearest(
    past: Past, things: Things, moment: str, error: type[Exception], nearest: str | None
) -> None:
    past.run(submit(), submit(), submit())
    task = submit()
    past.run(task)

    with pytest.raises(error) as refusal:
        past.run_story(things.task(TENANT, task.task_id, Moment.parse(moment)))

    assert getattr(refusal.value, "facts", {}).get("nearest") == nearest


def test_what_is_another_tenants_or_another_kind_of_thing_is_not_there(
    past: Past, things: Things
) -> None:
    task = submit(tenant=OTHER)
    past.run(task)

    for ask in (
        things.task(TENANT, task.task_id, Moment(version=1)),
        things.task(TENANT, task.task_id, Moment(version=99)),
        things.agent(OTHER, task.task_id, Moment(version=1)),
        things.story("task", TENANT, task.task_id, after_version=0, limit=10),
    ):
        with pytest.raises(AggregateNotFound):
            past.run_story(ask)


def test_a_cursor_that_was_never_seen_is_refused(past: Past, things: Things) -> None:
    task = submit()
    past.run(task)

    with pytest.raises(CursorAhead):
        past.run_story(things.task(TENANT, task.task_id, None, seen=Cursor(1, 99)))
    with pytest.raises(EpochEnded):
        past.run_story(things.task(TENANT, task.task_id, None, seen=Cursor(2, 1)))


def test_every_event_is_told_in_words_with_the_cursor_of_its_cause(
    past: Past, things: Things, rng: random.Random
) -> None:
    past.write(rng, length=250)
    records = past.records()

    told = [
        one
        for task_id, task in retold(records).tasks.items()
        for one in past.run_story(
            things.story("task", task["tenant"], task_id, after_version=0, limit=1_000)
        )
    ]

    of_tasks = [one for one in records if one.topic.startswith("task.")]
    assert sorted(one.record.position for one in told) == [one.position for one in of_tasks]
    assert all(one.text.endswith((".", "it")) and one.text != one.record.topic for one in told)
    for one in told:
        assert one.cause is None or one.cause.position < one.record.position
        if one.record.topic in {"task.started", "task.completed", "task.assigned"}:
            assert one.cause is not None, one.record.topic
