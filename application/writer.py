"""The group commit: gather the requests that wait, decide their commands, write all events at once,
answer everybody.

Requests are concurrent and the log has one order, so one task of the event loop decides and writes,
and everybody else waits for its answer. While it waits for a COMMIT, the next requests gather.
Nobody is answered, not even with a refusal, before the transaction that the decision stood on is
committed.

A request is one command or many. What it adds is written in one transaction, with its key and its
answer when it has a key; so a repetition finds all of it or nothing.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from application.answers import Outcome, recalled_answer
from application.batch import Batch, Request
from application.commands import Command, RequestKey
from application.control_plane import ControlPlane, Decided, HalfDecided
from application.cursor import Cursor
from application.ports import (
    AppendRefused,
    EventLog,
    Page,
    StoredAggregate,
    Written,
)
from application.receipt import Receipt
from domain.errors import (
    ConcurrentChange,
    ControlPlaneError,
    DatabaseUnavailable,
    IdempotencyKeyReused,
)

BATCH_COMMANDS_MAX = 128
"""More would leave nobody to decide upon while a batch is being written: 256 callers who wait for
one commit wait for each other. With 128, 19,000 commands a second were written where 256 gave
16,000; with 64, which cost more appends, 17,700."""
BATCH_BYTES_MAX = 8 * 2**20
COMMANDS_IN_A_ROW = 32
"""Decided before others get a turn of the event loop."""
WAITING_COMMANDS_MAX = 20_000
CONFLICTS_MAX = 10
AWAY_PAUSE_SECONDS = 0.1
RECENT_KEYS_MAX = 10_000

log = structlog.get_logger("writer")


class Writer:
    """Decides and writes requests, in a task of the event loop on which it was started."""

    def __init__(
        self,
        control_plane: ControlPlane,
        *,
        on_commit: Callable[[Written, Page], None] = lambda _, __: None,
    ) -> None:
        self._control_plane = control_plane
        self._log: EventLog = control_plane.log
        self._cache = control_plane.cache
        self._on_commit = on_commit
        self._waiting: deque[Request] = deque()
        self._waiting_commands = 0
        self._something_new = asyncio.Event()
        self._writing: tuple[list[Request], asyncio.Task[None]] | None = None
        self._recent_keys: OrderedDict[UUID, None] = OrderedDict()
        self._snapshots: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._epoch = 0
        self._stopping = False

    async def start(self) -> None:
        """Begin to decide. The log must be reachable. Raises DatabaseUnavailable."""
        self._epoch = (await asyncio.to_thread(self._log.store)).epoch
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Decide what waits, then end."""
        self._stopping = True
        self._something_new.set()
        if self._task is not None:
            await self._task
        await asyncio.gather(*self._snapshots)

    @property
    def waiting(self) -> int:
        """How many commands wait to be decided."""
        return self._waiting_commands

    def submit(
        self, commands: Sequence[Command], key: RequestKey | None = None
    ) -> "asyncio.Future[list[Outcome]]":
        """Hand a request over; the outcomes of its commands come, in order, when they are durable.

        An outcome is a receipt, or what the command's handler raises; what refuses the whole
        request is raised: DatabaseUnavailable, ConcurrentChange, IdempotencyKeyReused. Cancelling
        the future before the request is taken up withdraws it. Raises DatabaseUnavailable at once
        when too many commands wait already.
        """
        if self._stopping:
            raise DatabaseUnavailable("The service is stopping.")
        if self._waiting_commands + len(commands) > WAITING_COMMANDS_MAX:
            raise DatabaseUnavailable("Too many commands wait already.")
        request = Request(commands, key, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._waiting_commands += len(commands)
        self._something_new.set()
        return request.answer

    async def _run(self) -> None:
        while True:
            if self._writing is not None and self._writing[1].done():
                await self._finish_writing()
            elif self._waiting:
                # Whoever has gone meanwhile gets nothing done.
                await self._take_up(_unanswered(self._gather()))
            elif self._writing is None and self._stopping:
                return
            else:
                self._something_new.clear()
                await self._something_new.wait()

    async def _take_up(self, batch: list[Request]) -> None:
        """Decide, while the former batch is being written; then begin to write.

        So the log and the decisions take turns in waiting for each other. What is decided stands
        upon what is being written, and falls with it.
        """
        if self._is_being_written(batch):
            # Its key cannot be looked up yet.
            await self._finish_writing()
        try:
            decided, later = await self._decide_ahead(batch)
        except Exception:  # noqa: BLE001 - who is at fault is found out with care
            await self._finish_writing(ahead=batch)
            self._drop(batch)
            await self._settle_or_refuse(_unanswered(batch))
            return
        if not await self._finish_writing(ahead=batch):
            await self._settle_or_refuse(_unanswered(batch))
            return
        task = asyncio.create_task(self._write(Batch.of(decided, self._log)))
        task.add_done_callback(lambda _: self._something_new.set())
        self._writing = decided, task
        # So that it is on its way before the next is decided.
        await asyncio.sleep(0)
        if later:
            await self._finish_writing()
            self._waiting.extendleft(reversed(later))
            self._waiting_commands += sum(len(request.commands) for request in later)

    def _is_being_written(self, batch: Sequence[Request]) -> bool:
        """Whether there is a repetition among them of what is being written."""
        if self._writing is None:
            return False
        keys = {request.key.command_id for request in self._writing[0] if request.key}
        return any(request.key and request.key.command_id in keys for request in batch)

    async def _finish_writing(self, *, ahead: Sequence[Request] = ()) -> bool:
        """Wait until the former batch is written, and say whether it was as it stood.

        If not, what was decided `ahead` is dropped, and the batch is settled with care.
        """
        if self._writing is None:
            return True
        batch, task = self._writing
        self._writing = None
        try:
            await task
        except AppendRefused as refused:
            self._drop(ahead)
            self._drop_spoilt(batch, refused)
            await self._settle_or_refuse(batch, refused.aggregate_ids)
        except Exception:  # noqa: BLE001 - who is at fault is found out with care
            self._drop([*ahead, *batch])
            await self._settle_or_refuse(_unanswered(batch))
        else:
            return True
        return False

    def _gather(self) -> list[Request]:
        """What waits, up to a number of commands. A request is never divided."""
        batch: list[Request] = []
        commands = 0
        while self._waiting:
            following = len(self._waiting[0].commands)
            if batch and commands + following > BATCH_COMMANDS_MAX:
                break
            batch.append(self._waiting.popleft())
            commands += following
        self._waiting_commands -= commands
        return batch

    async def _settle_or_refuse(
        self, batch: list[Request], conflicting: Iterable[UUID] = ()
    ) -> None:
        """The runner: whatever goes wrong, everybody is answered and the writer goes on.

        What no batch can hold must not take its neighbours down, so a batch that fails is settled
        request by request.
        """
        try:
            await self._settle(batch, conflicting)
        except Exception as error:
            self._drop(batch)
            if len(batch) == 1:
                if not isinstance(error, ControlPlaneError):
                    log.exception("request_failed", command=type(batch[0].commands[0]).__name__)
                batch[0].refuse(error)
            else:
                for request in _unanswered(batch):
                    await self._settle_or_refuse([request])

    async def _settle(self, batch: list[Request], conflicting: Iterable[UUID]) -> None:
        """Bring every request of the batch to its answer, while nothing else is being written."""
        conflicts = outages = 0
        while batch:
            try:
                decided, later = await self._decide_ahead(batch, conflicting)
                conflicting = ()
                batch = decided + later
                await self._write(Batch.of(decided, self._log))
                batch = later
            except AppendRefused as refused:
                conflicts += 1
                if conflicts > CONFLICTS_MAX:
                    raise ConcurrentChange("Others changed it again and again.") from None
                conflicting = refused.aggregate_ids
                self._drop_spoilt(batch, refused)
            except DatabaseUnavailable:
                self._drop(batch)
                # A connection that was just lost is replaced at once; a database that is away, is
                # not.
                batch = await self._still_patient(batch, AWAY_PAUSE_SECONDS if outages else 0)
                outages += 1

    async def _decide_ahead(
        self, batch: list[Request], conflicting: Iterable[UUID] = ()
    ) -> tuple[list[Request], list[Request]]:
        """Those that are decided now, and those that have to wait until these are committed.

        Repetitions are answered and left out. Raises AppendRefused, DatabaseUnavailable.
        """
        batch = await self._answer_repeated(batch, self._recent_keys)
        versions = await self._load(batch, conflicting)
        decided, later = await self._decide(batch)
        # A refusal is written nowhere, so the log would not tell that it came before.
        decided = await self._answer_repeated(decided, _refused_keys(decided))
        await self._check_unwritten(decided, versions)
        return decided, later

    async def _check_unwritten(self, decided: Sequence[Request], versions: dict[UUID, int]) -> None:
        """What adds nothing, a refusal or that there was nothing to do, but stands on what another
        process has changed since, would go unnoticed.

        `versions` are those that were decided upon: a command that failed half way may have had
        some evicted. Raises AppendRefused, DatabaseUnavailable.
        """
        ids = {
            i
            for request in decided
            for place, command in enumerate(request.commands)
            if place in request.failed or not request.decided[place].entries
            for i in command.needs
        }
        following = [(i, versions[i] + 1) for i in ids if i in versions]
        if following and (moved := await self._log.taken(following)):
            raise AppendRefused(moved, [])

    async def _answer_repeated(self, batch: list[Request], keys: Container[UUID]) -> list[Request]:
        """Answer those that were kept already; the rest remains.

        Only some keys are looked for, as those that were seen lately: others are nearly always new,
        and the log refuses them if they are not.
        """
        suspects = [r.key.command_id for r in batch if r.key and r.key.command_id in keys]
        kept = await self._log.kept_requests(suspects) if suspects else {}
        remaining = []
        for request in batch:
            former = kept.get(request.key.command_id) if request.key else None
            if former is None:
                remaining.append(request)
            elif not (request.key and request.key.has(former.key.fingerprint)):
                request.refuse(IdempotencyKeyReused())
            else:
                request.settle(recalled_answer(former, epoch=self._epoch))
        return remaining

    async def _load(self, batch: Sequence[Request], also: Iterable[UUID]) -> dict[UUID, int]:
        """See to it that all is there that they need; the versions of what there is."""
        commands = [command for request in batch for command in request.commands]
        needed = {one for command in commands for one in command.needs}
        await self._control_plane.load(commands, needed.union(also))
        return {one: version for one in needed if (version := self._cache.version(one))}

    async def _decide(self, batch: list[Request]) -> tuple[list[Request], list[Request]]:
        """Decide each in turn, and tell which must wait until these are committed.

        Those are: a second request under one key, what would make the batch too large, and all that
        follow a command that failed half way through, since the aggregates that it spoilt have to
        be loaded anew.
        """
        decided: list[Request] = []
        later: list[Request] = []
        keys: set[UUID] = set()
        size = in_a_row = 0
        for place, request in enumerate(batch):
            if request.key is not None and request.key.command_id in keys:
                later.append(request)
                continue
            too_large = size > BATCH_BYTES_MAX and not request.decided
            if too_large or not self._decide_request(request):
                return decided, later + batch[place:]
            decided.append(request)
            if request.key is not None:
                keys.add(request.key.command_id)
            size += sum(len(r.state) for one in request.decided.values() for r, _ in one.entries)
            in_a_row += len(request.commands)
            if in_a_row >= COMMANDS_IN_A_ROW:
                in_a_row = 0
                await asyncio.sleep(0)
        return decided, later

    def _decide_request(self, request: Request) -> bool:
        """Whether it went through; else it has to be decided again from its beginning."""
        for place, command in enumerate(request.commands):
            if place in request.failed or place in request.decided:
                continue
            try:
                request.decided[place] = self._control_plane.decide(command)
            except HalfDecided as half:
                failed = {**request.failed, place: half.cause}
                self._drop([request])
                request.failed = failed
                return False
            except Exception as error:  # noqa: BLE001 - a bug in one must not refuse the others
                request.failed[place] = error
        return True

    async def _write(self, batch: Batch) -> None:
        """Write what was decided, and answer.

        Raises AppendRefused, and DatabaseUnavailable when it came to nothing.
        """
        written = Written(head=None, base=0)
        if any(request.decided for request in batch.requests):
            written = await self._append(batch)
            self._remember(one.key.command_id for one in batch.kept)
            self._on_commit(written, batch.entries)
        for request in batch.requests:
            request.settle([self._outcome(part, written.base) for part in request.parts])
        if batch.snapshots:
            keeping = asyncio.create_task(self._keep(batch.snapshots))
            self._snapshots.add(keeping)
            keeping.add_done_callback(self._snapshots.discard)

    async def _append(self, batch: Batch) -> Written:
        """Raises AppendRefused, and DatabaseUnavailable when it came to nothing.

        When the database goes away over it, it is asked what became of it, until it answers or
        nobody has the patience to hear.
        """
        records = [record for record, _ in batch.entries]
        try:
            return await self._log.append(records, batch.kept)
        except DatabaseUnavailable:
            waiting = batch.requests
            while waiting:
                with suppress(DatabaseUnavailable):
                    if written := await self._log.find_append(records, batch.kept):
                        return written
                    break
                waiting = await self._still_patient(waiting, AWAY_PAUSE_SECONDS)
            raise

    def _outcome(self, part: Decided | Exception, base: int) -> Outcome:
        if isinstance(part, Exception):
            return part
        return Receipt(
            aggregate_id=part.aggregate_id,
            version=part.version,
            cursor=Cursor(self._epoch, base + part.place),
            refusal=part.refusal,
            grant=part.grant,
        )

    def _drop(self, requests: Iterable[Request]) -> None:
        """They have to be decided anew, upon aggregates as they stand in the log."""
        for request in requests:
            self._cache.evict(request.stands_on)
            request.decided.clear()
            request.failed.clear()

    def _drop_spoilt(self, batch: list[Request], refused: AppendRefused) -> None:
        """Drop what stood upon something that is not so, and what was decided upon that."""
        keys = {one.key.command_id for one in refused.requests}
        self._remember(keys)
        spoilt = set(refused.aggregate_ids)
        if not keys and not spoilt:
            self._drop(batch)
            return
        sound, grown = batch, True
        while grown:
            fallen = [
                request
                for request in sound
                if not spoilt.isdisjoint(request.stands_on)
                or (request.key is not None and request.key.command_id in keys)
            ]
            spoilt.update(*(request.stands_on for request in fallen))
            sound, grown = [request for request in sound if request not in fallen], bool(fallen)
            self._drop(fallen)
        self._cache.evict(spoilt)

    def _remember(self, keys: Iterable[UUID]) -> None:
        for key in keys:
            self._recent_keys[key] = None
            if len(self._recent_keys) > RECENT_KEYS_MAX:
                self._recent_keys.popitem(last=False)

    async def _keep(self, taken: list[StoredAggregate]) -> None:
        # It may be lost: loading then reads more events.
        with suppress(DatabaseUnavailable):
            await asyncio.to_thread(self._log.keep_snapshots, taken)

    async def _still_patient(self, batch: list[Request], pause: float) -> list[Request]:
        """Refuse those that have waited long enough, pause, and go on with the rest."""
        now = time.monotonic()
        patient = []
        for request in batch:
            if request.patience_ends > now and not self._stopping:
                patient.append(request)
            else:
                request.refuse(DatabaseUnavailable("The database does not answer."))
        if patient:
            await asyncio.sleep(pause)
        return patient


def _unanswered(batch: Iterable[Request]) -> list[Request]:
    return [request for request in batch if not request.answer.done()]


def _refused_keys(decided: Iterable[Request]) -> set[UUID]:
    """Of those of which nothing will be written."""
    return {r.key.command_id for r in decided if r.key is not None and not r.decided}


class Commands:
    """The way in: hand commands to the writer, get their receipts after COMMIT."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def execute(self, command: Command, key: RequestKey | None = None) -> Receipt:
        """Decide and record one command. A recorded refusal comes in the receipt.

        Raises what its handler raises, DatabaseUnavailable, ConcurrentChange, IdempotencyKeyReused.
        Repeating it under the same key is always safe.
        """
        [outcome] = await self._writer.submit([command], key)
        if isinstance(outcome, Receipt):
            return outcome
        raise outcome

    async def execute_many(
        self, commands: Sequence[Command], key: RequestKey | None = None
    ) -> list[Receipt | ControlPlaneError]:
        """The same for many at once, each with its own outcome, in order.

        What they add is written together. Raises what concerns them all: DatabaseUnavailable,
        ConcurrentChange, IdempotencyKeyReused.
        """
        outcomes = await self._writer.submit(commands, key) if commands else []
        found: list[Receipt | ControlPlaneError] = []
        for outcome in outcomes:
            if not isinstance(outcome, Receipt | ControlPlaneError):
                raise outcome
            found.append(outcome)
        return found
