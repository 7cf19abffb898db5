"""Frames: everything as of any position, on every way to it the same."""

import asyncio
import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from application.commands.tasks import ReportProgress
from application.duties import Duty
from application.lane import WAITING_MAX, TooMuchFolding
from application.projections import runner
from application.time_travel import frames as making
from application.time_travel import keeper
from application.time_travel.encoding import decode, encode
from application.time_travel.frame import Frame
from application.time_travel.frames import FramesBehind, digest
from application.time_travel.ports import FramePart
from domain.errors import DatabaseUnavailable
from infrastructure.postgres import time_travel as reading
from tests.application.desk import assign, cancel, submit
from tests.application.models import projector_of
from tests.application.past import OTHER, Past, a_past, registration
from tests.application.retold import Retold, retold
from tests.conftest import Database
from tests.given import ALICE, TENANT, a_specification, by

SECONDS_MAX = 10


@pytest.fixture
def past(database: Database) -> Iterator[Past]:
    with a_past(database) as past:
        yield past


def assert_tells(frame: Frame, story: Retold, tenant: str) -> None:
    """The frame says of the tenant what the tests' own fold says."""
    expected = story.open_tasks(tenant)
    assert {status: n for status, n in frame.counts.items() if n} == story.counts(tenant)
    assert frame.cards.keys() == expected.keys()
    for task_id, card in frame.cards.items():
        told: dict[str, Any] = expected[task_id] | {"input": None}
        assert {name: getattr(card, name) for name in told} == told
    lines = {of: agent for of, agent in story.agents.items() if agent["tenant"] == tenant}
    assert frame.lines.keys() == lines.keys()
    for agent_id, line in frame.lines.items():
        assert {name: _listed(getattr(line, name)) for name in lines[agent_id]} == lines[agent_id]
    held = [t for t in expected.values() if t["status"] in {"assigned", "running"}]
    for agent_id in lines:
        assert frame.running[agent_id] == sum(t["agent_id"] == agent_id for t in held)
    assert frame.depth == story.counts(tenant).get("queued", 0) == frame.queued["review"]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_the_frame_at_every_position_is_what_the_history_up_to_there_says(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.write(rng, length=250)
    records = past.records()
    past.project(up_to=None)
    past.take()
    monkeypatch.setattr(reading, "PAGE_EVENTS", rng.choice([1, 7, 2_000]))

    for position in rng.sample(range(1, len(records) + 1), len(records)):
        story = retold(one for one in records if one.position <= position)
        for tenant in (TENANT, OTHER):
            assert_tells(past.frame(position, tenant), story, tenant)


def test_frames_taken_of_the_live_read_models_are_those_that_are_folded(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = past.write(rng, length=250)
    monkeypatch.setattr(runner, "PAGE_EVENTS", 10)
    taken = []
    for position in sorted(rng.sample(range(1, head), 12)):
        past.project(up_to=position)
        if past.store.last() < min(position, head):
            taken.append(past.take())
    past.project()

    folded = past.new_frames()
    for position in rng.sample(taken, len(taken)):
        live = past.store.digests(position)
        for tenant in live:
            made = past.desk.loop.run(folded.make(tenant, position, kept_before=0, aside=True))
            assert digest(made.frame) == live[tenant]
            assert digest(past.frame(position, tenant)) == live[tenant]
    assert len(taken) > 1


def test_a_frame_that_was_kept_is_the_same_after_it_was_read(
    past: Past, rng: random.Random
) -> None:
    head = past.write(rng)
    frame = past.frame(head)

    again = decode(encode(frame), tenant=TENANT, position=head)

    assert digest(again) == digest(frame)
    assert again.cards == frame.cards
    assert again.lines == frame.lines
    assert +again.counts == +frame.counts
    assert (+again.queued, +again.running) == (+frame.queued, +frame.running)


def test_gaps_are_filled_and_what_was_live_is_proved_from_them(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = past.write(rng, length=400)
    past.project()
    past.take()
    monkeypatch.setattr(keeper, "EVENTS_APART", 10)
    monkeypatch.setattr(keeper, "EVENTS_PER_TASK", 0.0)

    steps = 0
    while past.desk.loop.run(past.keeper.step(head)):
        steps += 1

    kept = kept_at(past)
    assert steps == len(kept) > 2
    assert all(after - before <= 20 for before, after in zip([0, *kept], kept, strict=False))
    assert past.store.unproven() is None
    assert past.keeper.unequal == 0 == len(past.store.unequal())


def test_a_read_model_that_was_tampered_with_is_noticed_and_stays_on_record(
    past: Past, rng: random.Random, database: Database
) -> None:
    past.write(rng)
    past.run(submit())
    past.project()
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            "UPDATE musterroll.task_board SET priority = priority + 1 WHERE status = 'queued'"
        )
    position = past.take()

    assert past.desk.loop.run(past.keeper.step(position))

    assert past.keeper.unequal == 1
    assert past.store.unequal() == [position]
    assert_tells(past.new_frame(position), retold(past.records()), TENANT)


@pytest.mark.parametrize("content", [b"gibberish", zlib.compress(b"[{},0,0]")])
def test_a_kept_frame_that_was_tampered_with_is_not_used_but_made_anew_and_stays_on_record(
    past: Past, database: Database, content: bytes
) -> None:
    past.run(submit(), submit())
    past.project()
    past.take()
    past.run(submit())
    past.project()
    position = past.take()
    past.run(submit())
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("UPDATE musterroll.frame_parts SET content = %s", (content,))

    frames = past.new_frames()
    for head in (position, past.desk.log.head()):
        found = past.desk.loop.run(frames.at(TENANT, head))
        assert_tells(found, retold(past.records(until=head)), TENANT)

    assert sorted(frames.unequal) == past.store.unequal() == kept_at(past)
    again = past.new_frames()
    past.desk.loop.run(again.at(TENANT, position))
    assert again.unequal == set()


def test_a_gap_is_filled_though_there_is_always_a_frame_to_be_taken(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = past.write(rng, length=300)  # wide enough for three frames, whatever the story
    past.project()
    past.take()
    monkeypatch.setattr(keeper, "EVENTS_APART", 10)
    monkeypatch.setattr(keeper, "EVENTS_PER_TASK", 0.0)

    for _ in range(6):
        past.run(*(submit() for _ in range(20)))
        past.project()
        for model in keeper.MODELS:
            past.watermarks.advance(model, past.desk.log.head())
        assert past.desk.loop.run(past.keeper.step(past.store.last()))

    taken = [position for position in kept_at(past) if position > gap]
    filled = [position for position in kept_at(past) if position < gap]
    assert (len(taken), len(filled)) == (3, 3)


def test_read_models_that_stand_apart_are_not_taken(past: Past, rng: random.Random) -> None:
    past.write(rng)
    past.project()
    past.run(submit())
    head = past.desk.log.head()
    projector_of(past.desk.pool, past.desk.feed, "task_board").catch_up()

    assert past.store.take(after=0) is None
    past.project()
    assert past.store.take(after=0) == head
    assert past.store.take(after=head) is None


def test_what_another_release_kept_is_not_read_and_goes(
    past: Past, rng: random.Random, database: Database
) -> None:
    head = past.write(rng)
    past.project()
    past.take()
    expected = digest(past.frame(head))
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("UPDATE musterroll.frames SET form = 'another'")
        owner.execute("UPDATE musterroll.frame_parts SET content = 'gibberish'")

    frames = past.new_frames()
    folded = past.desk.loop.run(frames.at(TENANT, head))
    past.store.forget_other_forms()

    assert digest(folded) == expected
    assert kept_at(past) == []


def test_what_comes_after_a_frame_that_is_at_hand_leaves_it_as_it_was(
    past: Past, rng: random.Random
) -> None:
    past.write(rng)
    task = submit()
    past.run(task)
    head = past.desk.log.head()
    before = past.frame(head)
    content = encode(before)
    past.run(cancel(task.task_id))

    after = past.frame(past.desk.log.head())

    assert encode(before) == content
    assert after.counts["cancelled"] == before.counts["cancelled"] + 1
    assert past.frame(head) is before


def test_too_much_to_fold_is_refused_for_now(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = past.write(rng)
    monkeypatch.setattr(making, "TAIL_MAX", 10)

    with pytest.raises(FramesBehind):
        past.frame(head)


def test_who_came_after_the_newest_frames_is_shown_the_present_however_long_the_log(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.write(rng)
    past.project()
    kept = past.take()
    monkeypatch.setattr(making, "TAIL_MAX", 20)

    past.run(registration("fresh", "eve"), submit(tenant="fresh"))
    head = past.desk.log.head()

    assert_tells(past.new_frame(head, "fresh"), retold(past.records()), "fresh")
    made = past.desk.loop.run(past.new_frames().make("fresh", head, aside=True))
    assert (made.events, kept < head) == (head - kept, True)


def test_what_was_taken_is_proved_though_a_tenant_was_silent_behind_frames_filled_in_since(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run(registration("silent", "eve"), *(submit() for _ in range(40)))
    past.project()
    position = past.take()
    monkeypatch.setattr(keeper, "EVENTS_APART", 10)
    monkeypatch.setattr(keeper, "EVENTS_PER_TASK", 0.0)

    while past.desk.loop.run(past.keeper.step(position)):
        pass

    assert len(kept_at(past)) > 2
    assert past.keeper.unequal == 0


def test_only_so_many_wait_to_be_shown_the_past(past: Past, rng: random.Random) -> None:
    head = past.write(rng, length=30)

    async def crowd() -> list[Any]:
        async with past.frames.lane.turn():
            asking = [
                asyncio.create_task(past.frames.at(TENANT, head - n))
                for n in range(WAITING_MAX + 2)
            ]
            await asyncio.sleep(0)
        return await asyncio.gather(*asking, return_exceptions=True)

    outcomes = past.desk.loop.run(crowd())

    assert sum(isinstance(one, TooMuchFolding) for one in outcomes) == 2
    assert sum(isinstance(one, Frame) for one in outcomes) == WAITING_MAX


def kept_at(past: Past) -> list[int]:
    with past.desk.pool.connection() as connection:
        rows = connection.execute("SELECT position FROM frames ORDER BY position").fetchall()
    return [row[0] for row in rows]


def test_what_may_be_personal_is_in_no_frame(past: Past) -> None:
    task, canary = submit(), "canary-4711"
    specification = a_specification(input={"of": canary})
    past.run(replace(task, specification=specification))
    past.run(assign(task.task_id))
    held: dict[str, Any] = {
        "origin": by(),
        "task_id": task.task_id,
        "agent_id": ALICE,
        "attempt": 1,
    }
    past.run(ReportProgress(**held, fraction=0.5, message=canary))
    running = encode(past.frame(past.desk.log.head()))
    past.project()
    past.take()

    with past.desk.pool.connection() as connection:
        kept = connection.execute("SELECT content FROM frame_parts").fetchall()

    assert past.frame(past.desk.log.head()).counts["running"] == 1
    assert canary.encode() not in running
    assert kept
    assert all(canary.encode() not in zlib.decompress(row[0]) for row in kept)


def test_frames_that_are_cut_short_leave_nothing(past: Past, database: Database) -> None:
    past.run(submit(), submit(tenant=OTHER))

    def cut_short() -> Iterator[FramePart]:
        yield FramePart(tenant=TENANT, digest="", content=b"", open_tasks=1)
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        yield FramePart(tenant=OTHER, digest="", content=b"", open_tasks=1)

    with pytest.raises(DatabaseUnavailable):
        past.store.keep(2, cut_short())

    assert past.store.last() == 0
    assert kept_at(past) == []


def test_two_that_keep_the_same_frames_do_it_once(past: Past, rng: random.Random) -> None:
    head = past.write(rng)
    past.project()
    past.take()
    before = past.store.digests(head)

    assert past.store.take(after=0) is None
    past.store.keep(
        head, [FramePart(tenant=TENANT, digest="another", content=b"another", open_tasks=1)]
    )

    assert past.store.digests(head) == before


def test_a_keeper_whose_epoch_has_ended_is_no_fault(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pools are closed then, before those who work with them end."""
    monkeypatch.setattr(keeper, "LOOK_SECONDS", 0.01)
    working = Duty("frames", past.keeper.run)

    async def story() -> None:
        task = asyncio.create_task(working.run())
        await asyncio.to_thread(past.desk.pool.close)
        async with asyncio.timeout(SECONDS_MAX):
            while not lines:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])

    with capture_logs() as lines:
        past.run_story(story())

    assert {(line["event"], line["log_level"]) for line in lines} == {("duty_waits", "info")}
    assert lines[0]["duty"] == "frames"
