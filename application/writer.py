"""The group commit: gather the commands that wait, decide each, write all their events at once,
answer each.

Requests are concurrent, the log has one order, and the library is synchronous; so one thread
decides and writes, and everybody else waits for its answer. Nobody is answered, not even with a
refusal, before the transaction that the decision stood on is committed.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from application.commands import Command
from application.control_plane import ControlPlane, HalfDecided, Work
from application.cursor import Cursor
from application.ports import (
    Append,
    CommandRepeated,
    EventLog,
    Outcome,
    Store,
    VersionConflict,
)
from application.receipt import Receipt
from domain.errors import (
    ConcurrentChange,
    ControlPlaneError,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    StaleAttempt,
)

BATCH_COMMANDS_MAX = 256
WAITING_COMMANDS_MAX = 20_000
CONFLICTS_MAX = 10
PATIENCE_SECONDS = 5.0
"""How long a command may wait for a database that is away before it is told to come back."""
AWAY_PAUSE_SECONDS = 0.1

log = structlog.get_logger("writer")


@dataclass(slots=True)
class Waiting:
    """A command on its way, and who waits for it."""

    command: Command
    answer: "Future[Receipt]"
    patience_ends: float = field(default_factory=lambda: time.monotonic() + PATIENCE_SECONDS)


@dataclass(slots=True)
class Decided:
    """A command that was decided: what it adds, or why it was refused."""

    waiting: Waiting
    append: Append | None = None
    work: Work | None = None
    error: Exception | None = None


class Writer:
    """Decides and writes commands on a thread of its own."""

    def __init__(
        self, control_plane: ControlPlane, *, on_commit: Callable[[int], None] = lambda _: None
    ) -> None:
        self._control_plane = control_plane
        self._log: EventLog = control_plane.log
        self._on_commit = on_commit
        self._queue: queue.Queue[Waiting | None] = queue.Queue(WAITING_COMMANDS_MAX)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._store: Store | None = None
        self._head = 0
        self._stopping = False

    def start(self) -> None:
        """Begin to decide. The log must be reachable. Raises DatabaseUnavailable."""
        self._store = self._log.store()
        self._head = self._log.head()
        self._thread.start()

    def stop(self) -> None:
        """Decide what waits, then end."""
        self._stopping = True
        self._queue.put(None)
        self._thread.join()
        while not self._queue.empty():
            # It came in after the last one was let through.
            late = self._queue.get_nowait()
            if late is not None and late.answer.set_running_or_notify_cancel():
                late.answer.set_exception(DatabaseUnavailable("The service is stopping."))

    @property
    def waiting(self) -> int:
        """How many commands wait to be decided."""
        return self._queue.qsize()

    def submit(self, command: Command) -> "Future[Receipt]":
        """Hand a command over; its answer comes when it is durable.

        The future raises what the command's handler raises, and DatabaseUnavailable,
        ConcurrentChange or IdempotencyKeyReused. Raises DatabaseUnavailable when too many commands
        wait already.
        """
        waiting = Waiting(command, Future())
        if self._stopping:
            raise DatabaseUnavailable("The service is stopping.")
        try:
            self._queue.put_nowait(waiting)
        except queue.Full:
            raise DatabaseUnavailable("Too many commands wait already.") from None
        return waiting.answer

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._gather()
            # One that is taken up can no longer be cancelled; one that was, is dropped here.
            self._settle_or_refuse([w for w in batch if w.answer.set_running_or_notify_cancel()])

    def _settle_or_refuse(self, batch: list[Waiting]) -> None:
        """The runner: whatever goes wrong, everybody is answered and the writer goes on.

        What no batch can hold (an event that cannot be encoded, an id that is taken) must not take
        its neighbours down, so a batch that fails is settled one by one.
        """
        try:
            self._settle(batch)
        except Exception as error:
            self._control_plane.cache.clear()
            unanswered = [waiting for waiting in batch if not waiting.answer.done()]
            if len(batch) == 1:
                if not isinstance(error, ControlPlaneError):
                    log.exception("command_failed", command=type(batch[0].command).__name__)
                _refuse_unanswered(unanswered, error)
            else:
                for waiting in unanswered:
                    self._settle_or_refuse([waiting])

    def _gather(self) -> tuple[list[Waiting], bool]:
        """The next command and what waits behind it, and whether these are the last.

        It waits for one to come, never for more.
        """
        batch: list[Waiting] = []
        following = self._queue.get()
        while following is not None:
            batch.append(following)
            if len(batch) == BATCH_COMMANDS_MAX:
                return batch, False
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _settle(self, batch: list[Waiting]) -> None:
        """Bring every command of the batch to its answer."""
        conflicts = outages = 0
        look_up = [w for w in batch if w.command.origin.fingerprint is not None]
        while batch:
            decided: list[Decided] = []
            try:
                batch = self._answer_repeated(batch, look_up)
                decided, batch_later = self._decide(batch)
                positions = self._append(decided)
            except (VersionConflict, CommandRepeated):
                self._forget(decided)
                conflicts += 1
                look_up = batch
                if conflicts > CONFLICTS_MAX:
                    raise ConcurrentChange("Others changed it again and again.") from None
            except DatabaseUnavailable:
                self._forget(decided)
                look_up = batch
                # A connection that was just lost is replaced at once; a database that is away, is
                # not.
                batch = self._wait_for_database(batch, pause=AWAY_PAUSE_SECONDS if outages else 0)
                outages += 1
            else:
                self._answer(decided, positions)
                batch = look_up = batch_later

    def _answer_repeated(self, batch: list[Waiting], look_up: Sequence[Waiting]) -> list[Waiting]:
        """Answer those that are in the log already; the rest remains."""
        if not look_up:
            return batch
        known = self._log.outcomes([waiting.command.origin.command_id for waiting in look_up])
        remaining = []
        for waiting in batch:
            outcome = known.get(waiting.command.origin.command_id)
            if outcome is None:
                remaining.append(waiting)
            else:
                self._answer_from_log(waiting, outcome)
        return remaining

    def _answer_from_log(self, waiting: Waiting, outcome: Outcome) -> None:
        if outcome.fingerprint != waiting.command.origin.fingerprint:
            waiting.answer.set_exception(IdempotencyKeyReused())
            return
        refusal = None
        if outcome.refusal_message is not None:
            refusal = StaleAttempt.recalled(outcome.refusal_message)
        waiting.answer.set_result(
            Receipt(
                aggregate_id=outcome.aggregate_id,
                version=outcome.version,
                cursor=self._cursor(outcome.position),
                refusal=refusal,
                replayed=True,
            )
        )

    def _decide(self, batch: list[Waiting]) -> tuple[list[Decided], list[Waiting]]:
        """Decide each in turn, and tell which must wait until these are committed.

        Those are: a second command under one id, and all that follow a command that failed half way
        through, since the aggregates it spoilt have to be loaded anew.
        """
        decided: list[Decided] = []
        later: list[Waiting] = []
        ids = set()
        for place, waiting in enumerate(batch):
            command_id = waiting.command.origin.command_id
            if command_id in ids:
                later.append(waiting)
                continue
            ids.add(command_id)
            try:
                append, work = self._control_plane.decide(waiting.command)
            except HalfDecided as half:
                decided.append(Decided(waiting, error=half.cause))
                return decided, later + batch[place + 1 :]
            except DatabaseUnavailable:
                self._forget(decided)
                raise
            except Exception as error:  # noqa: BLE001 - a bug in one must not refuse the others
                decided.append(Decided(waiting, error=error))
            else:
                decided.append(Decided(waiting, append=append, work=work))
        return decided, later

    def _append(self, decided: list[Decided]) -> list[int]:
        appends = [one.append for one in decided if one.append is not None]
        return self._log.append(appends) if appends else []

    def _answer(self, decided: list[Decided], positions: list[int]) -> None:
        by_append = iter(positions)
        if positions:
            self._head = max(self._head, *positions)
            self._on_commit(self._head)
        for one in decided:
            if one.error is not None:
                one.waiting.answer.set_exception(one.error)
            elif one.append is not None and one.work is not None:
                receipt = self._receipt(one.append, one.work, next(by_append))
                one.waiting.answer.set_result(receipt)
                self._control_plane.keep_snapshots(one.work, one.append)

    def _receipt(self, append: Append, work: Work, position: int) -> Receipt:
        return Receipt(
            aggregate_id=append.aggregate_id,
            version=append.version,
            cursor=self._cursor(position),
            refusal=append.refusal,
            grant=work.grant,
        )

    def _forget(self, decided: list[Decided]) -> None:
        for one in decided:
            if one.work is not None:
                self._control_plane.forget(one.work)

    def _wait_for_database(self, batch: list[Waiting], *, pause: float) -> list[Waiting]:
        """Refuse those that have waited long enough, pause, and try the rest again."""
        now = time.monotonic()
        patient = [w for w in batch if w.patience_ends > now and not self._stopping]
        impatient = [w for w in batch if not (w.patience_ends > now and not self._stopping)]
        _refuse_unanswered(impatient, DatabaseUnavailable("The database does not answer."))
        if patient:
            time.sleep(pause)
        return patient

    def _cursor(self, position: int) -> Cursor:
        assert self._store is not None, "the writer was not started"
        return Cursor(self._store.epoch, position)


def _refuse_unanswered(batch: Sequence[Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)


class Commands:
    """The way in: hand a command to the writer, get its receipt after COMMIT."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def execute(self, command: Command) -> Receipt:
        """Decide and record one command. A recorded refusal comes in the receipt.

        Raises what its handler raises, DatabaseUnavailable, ConcurrentChange, IdempotencyKeyReused.
        Repeating it under the same command id is always safe.
        """
        return await asyncio.wrap_future(self._writer.submit(command))

    async def execute_many(self, commands: Sequence[Command]) -> list[Receipt | ControlPlaneError]:
        """The same for many at once, each with its own outcome, in order."""
        outcomes = await asyncio.gather(
            *(self.execute(command) for command in commands), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, ControlPlaneError):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Receipt | ControlPlaneError)]
