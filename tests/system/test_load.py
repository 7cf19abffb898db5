"""Goal: under load, what every answer said stands in the log, and in what is made of the log.

Method: two nodes on one database hear 200,000 commands of all kinds in requests of 1 to 100, many
at a time: on the same tasks and agents, so that they stand in each other's way; refused, stale, not
to be encoded, with ids that are taken; under a key, and then repeated at the same moment or later,
at either node, or with another body. Read models, followers and a reader are at it all the time.
Then the log is compared with the answers, and with what they saw.
"""

import asyncio
import gc
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from uuid import UUID

import orjson
import pytest

from application.answers import Failed, Outcome
from application.commands.agents import AgentCommand
from application.commands.tasks import TaskCommand
from application.feed import Feed
from application.follower import DISPATCHED
from application.handlers import all_handlers
from application.ports import Record
from application.projections.runner import Projector
from application.receipt import Receipt
from domain.errors import ConcurrentChange, ControlPlaneError, IdempotencyKeyReused
from infrastructure.postgres.log import PostgresLog
from tests.application.desk import at_the_same_time
from tests.application.models import MODELS, store_of
from tests.conftest import Database
from tests.system.crowd import Answer, Asked, Caller, Crowd
from tests.system.nodes import Node, Reader, a_node

COMMANDS = 200_000
CALLERS = 24
"""At each node."""

PAGE = 1_000

WORK = frozenset({"started", "progressed"})
ATTEMPT_ENDS = frozenset({"completed", "attempt_failed", "lease_expired", "released"})
TASK_ENDS = frozenset({"cancelled", "failed"})
#: Each of these must have been answered, and often.
MET = (
    "done", "done before", "refused", "idempotency_key_reused", "concurrent_change", "not_found",
    "stale_attempt", "task_not_assignable", "version_mismatch", "agent_exists", "TypeError",
    "failed",
)  # fmt: skip


@dataclass
class History:
    """The log, read from its beginning."""

    records: list[Record]

    def __post_init__(self) -> None:
        self.by_command: defaultdict[UUID, list[Record]] = defaultdict(list)
        self.by_aggregate: defaultdict[UUID, list[Record]] = defaultdict(list)
        for record in self.records:
            self.by_command[record.command_id].append(record)
            self.by_aggregate[record.aggregate_id].append(record)


@pytest.fixture
def rare_garbage_collection() -> Iterator[None]:
    """All that was asked and answered is kept until the end: looking for garbage takes a third."""
    former = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1_000)
    yield
    gc.set_threshold(*former)
    gc.collect()  # at once, and not while the next test connects


@pytest.mark.usefixtures("rare_garbage_collection")
def test_whatever_meets_in_a_batch_every_answer_is_what_stands_in_the_log(
    database: Database, rng: random.Random
) -> None:
    with ExitStack() as at_work:
        here = at_work.enter_context(a_node(database.url, projects=True))
        there = at_work.enter_context(a_node(database.url, projects=False))
        with Reader(there.log) as reader:
            crowd = Crowd(seen=lambda: reader.position)

            call_all(crowd, (here, there), rng)

            head = here.log.head()
            for node in (here, there):
                node.wait_for(DISPATCHED, head)
            for name in MODELS:
                here.wait_for(name, head)
        history = History(read_all(here.log))
        ours = {command.origin.command_id for one in crowd.asked for command in one.commands}

        versions_are_gapless_and_positions_rise(history.records)
        everybody_saw_every_event_once([here, there], reader, history.records)
        nothing_stands_there_that_nobody_asked_for(history, ours)
        for request in crowd.asked:
            every_answer_agrees_with_the_log(request, history)
        keys_stand_for_one_request(crowd.asked, here.log)
        attempts_end_once_and_leases_do_not_overlap(history)
        read_models_equal_a_replay(here)
        snapshots_and_their_tails_equal_a_replay(there.log, history)
        the_load_was_what_it_should_be(crowd, [here, there], history)


def call_all(crowd: Crowd, nodes: tuple[Node, Node], rng: random.Random) -> None:
    """Everybody calls at once, half of them at each node."""
    inboxes: tuple[deque[Asked], deque[Asked]] = deque(), deque()
    callers = [
        [
            Caller(crowd, rng.random(), node.writer.submit, inboxes, side=side)
            for _ in range(CALLERS)
        ]
        for side, node in enumerate(nodes)
    ]

    async def call(some: list[Caller]) -> None:
        quota = COMMANDS // (2 * CALLERS)
        await asyncio.gather(*(caller.call(quota) for caller in some))

    here, there = nodes
    here.run(callers[0][0].begin())
    at_the_same_time(lambda: here.run(call(callers[0])), lambda: there.run(call(callers[1])))


def read_all(log: PostgresLog) -> list[Record]:
    records: list[Record] = []
    while page := log.read(after=records[-1].position if records else 0, limit=10 * PAGE):
        records += page
    return records


def the_load_was_what_it_should_be(crowd: Crowd, nodes: list[Node], history: History) -> None:
    """Otherwise the rest would prove little."""
    answers = [(request, answer) for request in crowd.asked for answer in request.answers]
    outcomes: Counter[str] = Counter()
    for _, answer in answers:
        outcomes.update(
            map(kind_of, answer.told if isinstance(answer.told, list) else [answer.told])
        )
    handed_over = sum(len(request.commands) for request, _ in answers)
    kinds = {type(command) for request in crowd.asked for command in request.commands}

    assert handed_over >= COMMANDS
    assert kinds == {one for one in all_handlers() if issubclass(one, TaskCommand | AgentCommand)}
    assert len(history.records) > COMMANDS / 3, outcomes
    assert min(node.log.refused for node in nodes) > COMMANDS / 4_000, "they met"
    assert min(outcomes[kind] for kind in MET) > COMMANDS / 50_000, outcomes
    # Whoever finds that others were faster is decided again, and that is nearly always enough.
    given_up = sum(isinstance(answer.told, ConcurrentChange) for _, answer in answers)
    assert given_up < len(answers) / 1_000, outcomes
    with nodes[0].pool.connection() as connection:
        [snapshots] = connection.execute("SELECT count(*) FROM musterroll.snapshots").fetchall()[0]
    assert snapshots >= len(crowd.endless)


def kind_of(outcome: Outcome) -> str:
    """In a word."""
    if isinstance(outcome, Receipt):
        refused = "refused" if outcome.refusal else "done"
        return f"{refused} before" if outcome.replayed else refused
    return outcome.code if isinstance(outcome, ControlPlaneError) else type(outcome).__name__


def versions_are_gapless_and_positions_rise(records: Sequence[Record]) -> None:
    versions: Counter[UUID] = Counter()
    former = records[0]
    for record in records:
        versions[record.aggregate_id] += 1
        assert record.version == versions[record.aggregate_id]
        assert record is former or record.position > former.position
        assert record.recorded_at >= former.recorded_at
        former = record


def everybody_saw_every_event_once(
    nodes: list[Node], reader: Reader, records: Sequence[Record]
) -> None:
    events = [(one.position, one.aggregate_id, one.version) for one in records]
    assert first_difference(reader.saw, events) is None
    for node in nodes:
        assert first_difference(node.followed, [one.position for one in records]) is None


def first_difference(found: Sequence[Any], wanted: Sequence[Any]) -> tuple[Any, Any] | None:
    """Lists this long take pytest a minute to compare."""
    pairs = zip_longest(found, wanted)
    return next((pair for pair in pairs if pair[0] != pair[1]), None)


def nothing_stands_there_that_nobody_asked_for(history: History, asked: set[UUID]) -> None:
    assert history.by_command.keys() <= asked


def every_answer_agrees_with_the_log(request: Asked, history: History) -> None:
    """Whoever was told that it was done finds it done, once; whoever was refused left nothing."""
    done = [answer for answer in request.answers if answer.is_done]
    for answer in done:
        assert isinstance(answer.told, list)
        for command, outcome in zip(request.commands, answer.told, strict=True):
            records = history.by_command.get(command.origin.command_id, [])
            if isinstance(outcome, Receipt):
                a_receipt_agrees(outcome, answer, records, history)
            else:
                assert not records, outcome
    if not done:
        assert not any(history.by_command.get(one.origin.command_id) for one in request.commands)
    assert request.key or len(request.answers) == 1


def a_receipt_agrees(
    receipt: Receipt, answer: Answer, records: Sequence[Record], history: History
) -> None:
    if records:
        # All of it stands side by side, and the cursor is that of its last event.
        positions = [record.position for record in records]
        assert positions == list(range(positions[0], positions[-1] + 1))
        assert receipt.cursor.position == positions[-1]
        assert (receipt.aggregate_id, receipt.version) in {
            (record.aggregate_id, record.version) for record in records
        }
    else:
        # It changed nothing, because of something that was so when it was asked, or since.
        versions = history.by_aggregate[receipt.aggregate_id]
        assert receipt.version <= len(versions)
        stood_until = [one.position for one in versions[receipt.version :][:1]]
        assert receipt.replayed or not stood_until or stood_until[0] > answer.seen


def keys_stand_for_one_request(asked: Sequence[Asked], log: PostgresLog) -> None:
    """What was done under a key is done once, and is the answer to whoever asks later."""
    by_key: defaultdict[UUID, list[Asked]] = defaultdict(list)
    for request in asked:
        if request.key:
            by_key[request.key.command_id].append(request)
    keys = list(by_key)
    kept = {
        key
        for begin in range(0, len(keys), PAGE)
        for key in asyncio.run(log.kept_requests(keys[begin : begin + PAGE]))
    }
    for key, requests in by_key.items():
        done = [one for one in requests if any(answer.is_done for answer in one.answers)]
        assert len(done) == (key in kept)
        for one in done:
            told_at = the_first_answer_is_given_again(one)
            for other in requests:
                for answer in other.answers:
                    if other is not one and answer.asked_at > told_at:
                        assert isinstance(answer.told, IdempotencyKeyReused)


def the_first_answer_is_given_again(request: Asked) -> int:
    """When it was known that it is done."""
    done = [answer for answer in request.answers if answer.is_done]
    told_at = min(answer.told_at for answer in done)
    facts = {tuple(map(facts_of, answer.told)) for answer in done if isinstance(answer.told, list)}
    assert len(facts) == 1
    assert sum(1 for answer in done if is_first(answer)) == 1
    assert all(answer.is_done for answer in request.answers if answer.asked_at > told_at)
    return told_at


def is_first(answer: Answer) -> bool:
    assert isinstance(answer.told, list)
    return any(isinstance(one, Receipt) and not one.replayed for one in answer.told)


def facts_of(outcome: Outcome) -> tuple[object, ...]:
    if isinstance(outcome, Receipt):
        reason = outcome.refusal.message if outcome.refusal else None
        return outcome.aggregate_id, outcome.version, outcome.cursor, reason
    if isinstance(outcome, ControlPlaneError) and not isinstance(outcome, Failed):
        return outcome.code, outcome.message
    return ("failed",)


def attempts_end_once_and_leases_do_not_overlap(history: History) -> None:
    held: dict[UUID, Any] = {}
    ended: set[tuple[UUID, int]] = set()
    for record in history.records:
        kind, _, topic = record.topic.partition(".")
        if kind != "task":
            continue
        told, task_id = orjson.loads(record.state), record.aggregate_id
        if topic == "assigned":
            assert task_id not in held, "the lease of another runs"
            held[task_id] = told["attempt"], told["agent_id"]
        elif topic in ATTEMPT_ENDS:
            assert held.pop(task_id) == (told["attempt"], told["agent_id"])
            assert (task_id, told["attempt"]) not in ended
            ended.add((task_id, told["attempt"]))
        elif topic in WORK:
            assert held[task_id][0] == told["attempt"]
        elif topic in TASK_ENDS:
            held.pop(task_id, None)
    assert len(ended) > COMMANDS / 20


def read_models_equal_a_replay(node: Node) -> None:
    for name in MODELS:
        live = store_of(node.pool, name)
        twin = live.clear_rebuild()
        replay = Projector(Feed(node.log), MODELS[name][0](), twin)
        assert replay.catch_up() == live.checkpoint() == node.log.head()
        assert twin.digest() == live.digest(), name


def snapshots_and_their_tails_equal_a_replay(log: PostgresLog, history: History) -> None:
    ids = list(history.by_aggregate)
    for begin in range(0, len(ids), PAGE):
        for aggregate_id, loaded in log.load_many(ids[begin : begin + PAGE]).items():
            replayed: Any = None
            for record in history.by_aggregate[aggregate_id]:
                replayed = log.decode(record).mutate(replayed)
            assert vars(loaded) == vars(replayed)
