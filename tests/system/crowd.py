"""A crowd of callers: they submit, assign, work and report as they were told, repeat themselves,
and make every mistake there is. Two nodes hear them at once."""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from application.answers import Outcome
from application.commands import Command, RequestKey
from application.commands import tasks as task
from application.ids import uuid7
from application.receipt import Receipt
from tests.application.stories import (
    AGENTS,
    a_random_specification,
    a_task_command,
    an_agent_command,
    registrations,
)
from tests.given import MINUTE, NOON, a_decision, a_key, a_specification, by

SIZES = [*[1] * 8, 2, 2, 5, 5, 10, 20, 50, 100]
QUARREL, QUARREL_COMMANDS_MAX = 0.01, 10
"""Requests about what callers at the other node are asking about too: so many, and so long."""
KEYED, REPEATED_AT_ONCE, REPEATED_LATER, OTHER_BODY = 0.8, 0.2, 0.3, 0.03
OPEN_TASKS, ENDLESS_TASKS = 1_000, 4
"""Tasks under way at each node, and those, at both, that have hundreds of events each."""
WORKERS = AGENTS[:2]
DECISIONS = [a_decision(one, AGENTS[2]) for one in WORKERS]
NOT_JSON = ["\ud800", 2**70, object(), {1, 2}]

NEXT_KINDS: dict[object, type[Any]] = {
    "awaiting_approval": task.ApproveTask,
    "scheduled": task.MakeTaskDue,
    "queued": task.AssignTask,
    "assigned": task.ReportStarted,
    "running": task.ReportCompleted,
    "completed": task.CancelTask,
    "cancelled": task.CancelTask,
    "failed": task.RetryTask,
}

Ask = Callable[[Sequence[Command], RequestKey | None], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class Answer:
    """What was told to somebody who asked, and when, in moments of the crowd.

    `seen` is how far a reader of the log had come when it was asked.
    """

    asked_at: int
    seen: int
    told_at: int
    told: list[Outcome] | Exception

    @property
    def is_done(self) -> bool:
        """Whether anything was acknowledged."""
        return isinstance(self.told, list) and any(isinstance(one, Receipt) for one in self.told)


@dataclass(slots=True, eq=False)
class Asked:
    """A request, and what it was answered each time."""

    commands: list[Command]
    key: RequestKey | None
    answers: list[Answer] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Life:
    """A task, as its callers believe it to be."""

    task_id: UUID
    endless: bool
    attempt: int = 0
    agent_id: UUID = WORKERS[0]
    next_kind: type[Any] = task.SubmitTask


class Crowd:
    """What all callers know. `seen` tells how far a reader of the log has come."""

    def __init__(self, seen: Callable[[], int]) -> None:
        self.seen = seen
        self.asked: list[Asked] = []
        self.former: list[Asked] = []
        self.moments = itertools.count()
        self.lives: tuple[list[Life], list[Life]] = [], []
        self.endless = [
            Life(uuid7(), endless=True, next_kind=task.AssignTask) for _ in range(ENDLESS_TASKS)
        ]
        self.by_id = {life.task_id: life for life in self.endless}

    def a_new_life(self) -> Life:
        """A task that somebody is about to submit."""
        life = Life(uuid7(), endless=False)
        self.by_id[life.task_id] = life
        return life

    def learn(self, command: Command, outcome: Outcome) -> None:
        """A caller was told what became of its command."""
        life = self.by_id.get(getattr(command, "task_id", AGENTS[0]))
        if life is None:
            return
        if not isinstance(outcome, Receipt):
            status = getattr(outcome, "facts", {}).get("status")
            if status == "scheduled" and isinstance(command, task.MakeTaskDue):
                status = "cancelled"
            life.next_kind = NEXT_KINDS.get(status, life.next_kind)
            return
        match command:
            case task.AssignTask() if outcome.grant:
                life.attempt = outcome.grant.attempt
                life.agent_id = command.decision.winner
                life.next_kind = task.ReportStarted
            case task.ReportStarted() | task.ReportProgress():
                life.next_kind = task.ReportCompleted
            case task.ReportFailed():
                life.next_kind = task.MakeTaskDue
            case task.ReportCompleted() | task.CancelTask() | task.RejectTask():
                life.next_kind = task.CancelTask
            case _:
                life.next_kind = task.AssignTask


class Caller:
    """One of the crowd, at one node. An inbox holds what others ask at that very moment."""

    def __init__(
        self, crowd: Crowd, seed: float, ask: Ask, inboxes: Sequence[deque[Asked]], *, side: int
    ) -> None:
        self._crowd = crowd
        self._rng = random.Random(seed)
        self._ask = ask
        self._side = side
        self._inbox, self._other_inbox = inboxes[side], inboxes[1 - side]
        self._mine, self._theirs = crowd.lives[side], crowd.lives[1 - side]

    async def begin(self) -> None:
        """Register the agents, and submit the tasks that never end."""
        specification = a_specification(max_attempts=10_000)
        submissions = [
            task.SubmitTask(origin=by(), task_id=life.task_id, specification=specification)
            for life in self._crowd.endless
        ]
        await self._hand_over(self._new([*registrations(), *submissions], key=None))

    async def call(self, commands: int) -> None:
        """Ask until so many commands were handed over, repeated ones included."""
        while commands > 0:
            commands -= sum([await self._repeat(), await self._ask_anew()])

    async def _repeat(self) -> int:
        """What another asks just now, or somebody asked long ago."""
        rng = self._rng
        if self._inbox:
            request = self._inbox.popleft()
        elif self._crowd.former and rng.random() < REPEATED_LATER:
            # A few are repeated again and again.
            former = self._crowd.former
            request = former[min(rng.randrange(len(former)), rng.randrange(len(former)))]
        else:
            return 0
        await self._hand_over(request)
        return len(request.commands)

    async def _ask_anew(self) -> int:
        rng = self._rng
        key = a_key() if rng.random() < KEYED else None
        request = self._new(self._some_commands(), key)
        together = [request]
        if key and rng.random() < REPEATED_AT_ONCE:
            together.append(request)
            self._other_inbox.append(request)
        if key and rng.random() < OTHER_BODY:
            other = RequestKey(command_id=key.command_id, fingerprint=b"another")
            together.append(self._new([self._one_of_ours()], other))
        if key and rng.random() < REPEATED_LATER:
            self._crowd.former.append(request)
        rng.shuffle(together)
        await asyncio.gather(*map(self._hand_over, together))
        return sum(len(one.commands) for one in together)

    def _new(self, commands: list[Command], key: RequestKey | None) -> Asked:
        request = Asked(commands, key)
        self._crowd.asked.append(request)
        return request

    async def _hand_over(self, request: Asked) -> None:
        asked_at, seen = next(self._crowd.moments), self._crowd.seen()
        told: list[Outcome] | Exception
        try:
            told = await self._ask(request.commands, request.key)
        except Exception as error:  # noqa: BLE001 - the test looks at all of them
            told = error
        request.answers.append(Answer(asked_at, seen, next(self._crowd.moments), told))
        if isinstance(told, list):
            for command, outcome in zip(request.commands, told, strict=True):
                self._crowd.learn(command, outcome)

    # What is asked.

    def _some_commands(self) -> list[Command]:
        rng = self._rng
        size = rng.choice(SIZES)
        if rng.random() < QUARREL and self._mine and self._theirs:
            size = min(size, QUARREL_COMMANDS_MAX)
            return [self._one_of_everybody() for _ in range(size)]
        return [self._one_of_ours() for _ in range(size)]

    def _one_of_everybody(self) -> Command:
        rng = self._rng
        match rng.randrange(6):
            case 0 | 1:
                return an_agent_command(rng, NOON)
            case 2 | 3:
                return self._next_of(rng.choice(self._crowd.endless))
            case _:
                return self._next_of(rng.choice(rng.choice([self._mine, self._theirs])))

    def _one_of_ours(self) -> Command:
        rng, lives = self._rng, self._mine
        if len(lives) < OPEN_TASKS:
            lives.append(self._crowd.a_new_life())
            return self._submit(lives[-1].task_id)
        place = rng.randrange(len(lives))
        life = lives[place]
        chance = rng.random()
        if chance < 0.012:
            return self._a_mistake(life)
        if chance < 0.04:
            return self._next_of(rng.choice(self._crowd.endless[self._side :: 2]))
        if chance < 0.18:
            return a_task_command(rng, life.task_id)
        if life.next_kind is task.CancelTask:
            # It is over; one late command, and another takes its place.
            lives[place] = self._crowd.a_new_life()
        return self._next_of(life)

    def _submit(self, task_id: UUID, **changes: Any) -> Command:
        rng = self._rng
        specification = a_specification(**changes)
        if not changes and rng.random() < 0.2:
            specification = a_random_specification(rng, NOON)
        return task.SubmitTask(origin=by(), task_id=task_id, specification=specification)

    def _a_mistake(self, life: Life) -> Command:
        rng, task_id = self._rng, life.task_id
        held: dict[str, Any] = {"agent_id": life.agent_id, "attempt": life.attempt}
        expecting = by(expected_version=rng.randrange(1, 5))
        not_json = rng.choice(NOT_JSON)
        return rng.choice(
            [
                self._submit(task_id),
                self._submit(uuid7(), parent_id=task_id),
                self._submit(uuid7(), input=not_json),
                task.ReportCompleted(origin=by(), task_id=task_id, **held, result=not_json),
                task.CancelTask(origin=by(tenant="elsewhere"), task_id=task_id),
                task.CancelTask(origin=by(), task_id=uuid7()),
                task.CancelTask(origin=expecting, task_id=task_id),
                task.MissDeadline(origin=by(), task_id=task_id),
            ]
        )

    def _next_of(self, life: Life) -> Command:
        about: dict[str, Any] = {"origin": by(), "task_id": life.task_id}
        held = about | {"agent_id": life.agent_id, "attempt": life.attempt}
        match life.next_kind:
            case task.SubmitTask:
                return self._submit(life.task_id)
            case task.AssignTask:
                decision = self._rng.choice(DECISIONS)
                return task.AssignTask(**about, decision=decision, lease=MINUTE)
            case task.ReportStarted:
                return task.ReportStarted(**held)
            case task.ApproveTask | task.MakeTaskDue | task.RetryTask:
                return cast("Command", life.next_kind(**about))
            case task.CancelTask if not life.endless:
                return self._rng.choice(
                    [
                        task.CancelTask(**about),
                        task.RetryTask(**about),
                        task.ReportProgress(**held, fraction=0.9),
                        task.ReportCompleted(**held, result="late"),
                    ]
                )
            case _:
                return self._report(life, about, held)

    def _report(self, life: Life, about: dict[str, Any], held: dict[str, Any]) -> Command:
        rng = self._rng
        released = task.ReportReleased(**held)
        completed = task.ReportCompleted(**held, result={"n": rng.random()})
        failed: dict[str, Any] = {"code": "boom", "message": "It broke.", "retry_jitter": 0.0}
        reports = [
            (6, released if life.endless else completed),
            (3, task.ReportProgress(**held, fraction=rng.random())),
            (1, released),
            (1, task.ReportFailed(**held, **failed)),
            (1, task.ExpireLease(**about, attempt=life.attempt)),
            (1, task.TimeOutAttempt(**held, retry_jitter=0.0)),
        ]
        return rng.choices(reports, weights=[weight for weight, _ in reports])[0][1]
