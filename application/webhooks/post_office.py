"""The process that delivers: a courier for each webhook that is on. Only who leads runs it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import structlog

from application.duties import cancelled
from application.watermarks import LOG
from application.webhooks.courier import Courier, Halt, Means
from application.webhooks.ports import DeliveryStore
from application.webhooks.webhook import Ledger, Webhook
from domain.errors import DatabaseUnavailable

LOOK_SECONDS = 1.0
"""How often what was delivered is kept, and what other processes changed is looked up."""
LOG_WAIT_SECONDS = 5.0
AWAY_PAUSE_SECONDS = 0.2
REST_SECONDS = 10.0
"""How long a courier rests that met a fault of ours."""
NOT_UNDERSTOOD = Halt(
    state="paused", failure="the service could not work with it, and its log tells why"
)

log = structlog.get_logger("webhooks")


class PostOffice:
    """Starts and stops couriers as people change webhooks, and keeps what the couriers did.

    What was delivered since it was last kept is delivered again after a crash: at least once. A
    webhook that cannot be read, or whose deliveries cannot be kept, is paused; the others go on.
    """

    def __init__(self, store: DeliveryStore, means: Means) -> None:
        self._store = store
        self._means = means
        self._couriers: dict[UUID, tuple[Courier, asyncio.Task[None]]] = {}
        self._leaving: dict[UUID, Courier] = {}
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Somebody in this process has changed a webhook: look at once."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled, through outages of the database."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._oversee(tasks))
        finally:
            with suppress(DatabaseUnavailable):
                await self._keep()
            self._couriers.clear()
            self._leaving.clear()

    async def _follow(self) -> None:
        """Stir the couriers at every commit."""
        watermarks = self._means.watermarks
        while not cancelled():
            position = watermarks.position(LOG)
            for courier, _ in self._couriers.values():
                courier.stir()
            try:
                # Whoever else follows the log here looks up what other nodes commit.
                await watermarks.reached(
                    LOG,
                    position + 1,
                    timeout_seconds=LOG_WAIT_SECONDS,
                    poll_seconds=LOG_WAIT_SECONDS,
                )
            except DatabaseUnavailable:
                await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def _oversee(self, tasks: asyncio.TaskGroup) -> None:
        while not cancelled():
            self._changed.clear()
            try:
                await self._keep()
                await self._look(tasks)
            except DatabaseUnavailable:
                log.debug("no_database")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()

    async def _keep(self) -> None:
        """Keep what came of the deliveries. Raises DatabaseUnavailable."""
        leaving = dict(self._leaving)
        couriers = [courier for courier, _ in self._couriers.values()] + list(leaving.values())
        ledgers = [(one, ledger) for one in couriers if (ledger := one.ledger())]
        try:
            await self._keep_all(ledgers)
        except DatabaseUnavailable:
            raise
        except Exception:  # one of them, perhaps: which, tells itself
            log.exception("ledgers_not_kept")
            for kept in ledgers:
                async with self._guarded(kept[0].webhook.webhook_id):
                    await self._keep_all([kept])
        for webhook_id, courier in leaving.items():
            if courier.halted:
                await self._halt(webhook_id, courier.halted)
            del self._leaving[webhook_id]

    async def _keep_all(self, ledgers: Sequence[tuple[Courier, Ledger]]) -> None:
        if ledgers:
            await self._store.keep([ledger for _, ledger in ledgers])
        for courier, ledger in ledgers:
            courier.kept(ledger)

    @asynccontextmanager
    async def _guarded(self, webhook_id: UUID) -> AsyncIterator[None]:
        """What is wrong with one webhook pauses that one. Raises DatabaseUnavailable."""
        try:
            yield
        except DatabaseUnavailable:
            raise
        except Exception:  # whatever stands in its row, the others are delivered
            log.exception("webhook_failed", webhook_id=str(webhook_id))
            await self._halt(webhook_id, NOT_UNDERSTOOD)

    async def _halt(self, webhook_id: UUID, halt: Halt) -> None:
        await self._store.halt(webhook_id, halt.state, halt.failure, self._means.clock())

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        """Have a courier for each webhook that is on, and no other. Raises DatabaseUnavailable."""
        revisions = await self._store.revisions()
        await self._dismiss(revisions)
        for webhook_id, revision in revisions.items():
            courier, _ = self._couriers.get(webhook_id, (None, None))
            async with self._guarded(webhook_id):
                if courier is None and webhook_id not in self._leaving:
                    await self._start(webhook_id, tasks)
                elif courier is not None and courier.webhook.revision != revision:
                    await self._renew(courier)

    async def _dismiss(self, revisions: Mapping[UUID, int]) -> None:
        dismissed = [
            task for webhook_id, (_, task) in self._couriers.items() if webhook_id not in revisions
        ]
        for task in dismissed:
            task.cancel()
        if dismissed:
            await asyncio.wait(dismissed)

    async def _start(self, webhook_id: UUID, tasks: asyncio.TaskGroup) -> None:
        webhook = await self._store.load(webhook_id)
        if webhook is None:
            return
        if webhook.epoch != self._means.cloud_events.epoch:
            halt = Halt(
                state="paused",
                failure="the log was restored; it goes on from its end when it is allowed again",
            )
            await self._halt(webhook_id, halt)
            return
        letters = await self._store.letters(webhook_id)
        dead = await self._store.dead_count(webhook_id)
        courier = Courier(webhook, self._means, letters=letters, dead=dead)
        task = tasks.create_task(self._carry(webhook, courier))
        self._couriers[webhook_id] = courier, task

    async def _renew(self, courier: Courier) -> None:
        webhook = await self._store.load(courier.webhook.webhook_id)
        if webhook is not None:
            # What was delivered before this moment is kept, or known to the courier.
            courier.take_letters(await self._store.letters(webhook.webhook_id))
            dead = await self._store.dead_count(webhook.webhook_id)
            courier.take(webhook, dead=dead)

    async def _carry(self, webhook: Webhook, courier: Courier) -> None:
        """The runner of a courier: a fault in one leaves the others alone."""
        try:
            await courier.run()
        except Exception:
            log.exception("webhook_failed", webhook_id=str(webhook.webhook_id))
            courier.failed("the service met a fault of its own, and tries again")
            await asyncio.sleep(REST_SECONDS)
        finally:
            del self._couriers[webhook.webhook_id]
            self._leaving[webhook.webhook_id] = courier
            self.changed()
