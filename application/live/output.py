"""Output: what running tasks write, handed on to whoever listens, and kept nowhere."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from application.live.channel import Channel
from application.live.listeners import Listeners
from application.ports import EventLog
from application.processes.floor import KnownAgent
from application.workforce import Output
from domain.errors import AggregateNotFound, ControlPlaneError, StaleAttempt
from domain.task import Task

TASKS_LOADED_AT_ONCE = 32
"""Each may have an input of 256 KiB."""


class OutputRelay:
    """Takes output from the holders of attempts alone. Belongs to the event loop.

    The pieces of an attempt are numbered from 1, heard or not, for as long as this process leads.
    """

    def __init__(self, listeners: Listeners, log: EventLog) -> None:
        self._listeners = listeners
        self._log = log

    async def relay(
        self, agent: KnownAgent, pieces: Sequence[Output]
    ) -> list[ControlPlaneError | None]:
        """Hand on what the agent writes as the holder, in order; the refusals of the rest.

        They are StaleAttempt, or AggregateNotFound for a task that it never held, and None for what
        was handed on. Raises DatabaseUnavailable, and then handed on nothing.
        """
        looked_up: dict[UUID, Task | None] = {}
        # An attempt may end while the tasks of others are looked up.
        while wanted := {one.task_id for one in pieces if not _holds(agent, one)} - set(looked_up):
            looked_up |= await self._tasks(wanted)
        refusals: list[ControlPlaneError | None] = []
        for one in pieces:
            if _holds(agent, one):
                refusals.append(None)
                self._tell(agent, one)
            else:
                refusals.append(_refusal(agent.agent_id, one, looked_up[one.task_id]))
        return refusals

    async def _tasks(self, task_ids: Collection[UUID]) -> dict[UUID, Task | None]:
        """As the log has them: the floor forgets a task that has ended. Raises
        DatabaseUnavailable."""
        ids, tasks = list(task_ids), dict.fromkeys(task_ids)
        for start in range(0, len(ids), TASKS_LOADED_AT_ONCE):
            some = ids[start : start + TASKS_LOADED_AT_ONCE]
            found = await asyncio.to_thread(self._log.load_many, some)
            tasks |= {task_id: one for task_id, one in found.items() if isinstance(one, Task)}
        return tasks

    def _tell(self, agent: KnownAgent, piece: Output) -> None:
        sequence = agent.written[piece.task_id] = agent.written.get(piece.task_id, 0) + 1
        channel = Channel("output", piece.task_id)
        if self._listeners.heard(agent.tenant, channel):
            message = {
                "task_id": piece.task_id,
                "attempt": piece.attempt,
                "sequence": sequence,
                "text": piece.text,
                "dropped": 0,
            }
            self._listeners.tell(agent.tenant, channel, message)


def _holds(agent: KnownAgent, piece: Output) -> bool:
    lease = agent.held.get(piece.task_id)
    return lease is not None and lease.attempt == piece.attempt


def _refusal(agent_id: UUID, piece: Output, task: Task | None) -> ControlPlaneError:
    if task is None or not task.was_given_to(agent_id):
        return AggregateNotFound("task", piece.task_id)
    return StaleAttempt(
        piece.task_id, reported=piece.attempt, current=task.attempt, status=task.status
    )
