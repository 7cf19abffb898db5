"""THE COMPOSITION ROOT: settings in, a wired and startable control plane out."""

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from application.accounts.administration import Accounts, new_password
from application.bells import Bells
from application.cloud_events import CloudEvents
from application.control_plane import ControlPlane
from application.feed import Feed
from application.follower import SHOWN, LogFollower, Unjudged
from application.handlers import all_handlers
from application.health import Health
from application.live.figures import TenantFigures
from application.live.gate import Gate
from application.live.hub import Hub
from application.live.output import OutputRelay
from application.ports import Page, Written
from application.processes.leader import Leader, Rules
from application.projections.activity_feed import ActivityFeedProjection
from application.projections.agent_roster import AgentRosterProjection
from application.projections.runner import Projector
from application.projections.task_board import TaskBoardProjection
from application.projections.upkeep import ReadModelUpkeep
from application.queries import Queries
from application.watermarks import LOG, Watermarks
from application.webhooks.administration import Webhooks
from application.webhooks.courier import Means
from application.webhooks.patience import Patience
from application.webhooks.post_office import PostOffice
from application.writer import Commands, Writer
from domain.errors import DatabaseUnavailable
from domain.routing import POLICIES
from infrastructure.postgres.accounts import PostgresAccounts
from infrastructure.postgres.announcer import PostgresAnnouncer
from infrastructure.postgres.clock import PostgresClock
from infrastructure.postgres.database import database_of
from infrastructure.postgres.history import PostgresHistory
from infrastructure.postgres.leader_lock import PostgresLeaderLock
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.pool import make_async_pool, make_pool
from infrastructure.postgres.read_model_store import (
    ACTIVITY_FEED,
    AGENT_ROSTER,
    TASK_BOARD,
    PostgresReadModelStore,
)
from infrastructure.postgres.read_models import PostgresReadModels
from infrastructure.postgres.tickets import PostgresSpentTickets
from infrastructure.postgres.webhooks import PostgresDeliveries, PostgresWebhooks
from infrastructure.security import signing_key
from infrastructure.security.first_password import keep_first_password
from infrastructure.security.passwords import Argon2Hasher
from infrastructure.security.tickets import JwtTickets
from infrastructure.security.tokens import JwtAccessTokens
from infrastructure.settings import Settings
from infrastructure.telemetry.figures import FiguresCollector
from infrastructure.telemetry.logs import configure_logging
from infrastructure.webhooks.posting import HttpPoster
from infrastructure.webhooks.secret_box import SigningKeySecretBox

__all__ = ["ControlPlaneProcess", "Settings", "build"]

CLOCK_SECONDS = 60.0


def build(settings: Settings) -> "ControlPlaneProcess":
    """A process that is wired when it starts. Does no I/O."""
    return ControlPlaneProcess(settings)


class ControlPlaneProcess:
    """One service process. Everything but the settings is there once `start` has returned."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = CollectorRegistry()
        self.patience = Patience()
        url, owner = settings.database_url, settings.database_owner_url
        self._database = database_of(
            settings.data_dir,
            url.get_secret_value() if url else None,
            owner.get_secret_value() if owner else None,
        )
        self._opened = AsyncExitStack()

    async def start(self) -> None:
        """Open the log, views, projections, commands and processes, in this order.

        Raises EmbeddedPostgresFailed, MigrationFailed, DatabaseUnavailable, UnsafeKey, Invalid (the
        first password), OSError; what was opened is closed again then.
        """
        configure_logging(self.settings.log_level)
        try:
            await self._open_database()
            await self._wire()
            await self._open_accounts()
            self._open_webhooks()
            await self._begin()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop leading, decide what waits, close everything."""
        await self._opened.aclose()

    async def _open_database(self) -> None:
        settings, database = self.settings, self._database
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._opened.push_async_callback(asyncio.to_thread, database.stop)
        await asyncio.to_thread(database.start)
        await asyncio.to_thread(migrate, database.owner_url, database.url)
        half = settings.database_connections // 2
        self._pool = make_pool(database.url, connections_max=half)
        self._async_pool = make_async_pool(database.url, connections_max=half)
        self._opened.push_async_callback(asyncio.to_thread, self._pool.close)
        await asyncio.to_thread(self._pool.open)
        await self._opened.enter_async_context(self._async_pool)

    async def _wire(self) -> None:
        self._log = PostgresLog(self._pool)
        self._clock = PostgresClock(self._pool)
        await asyncio.to_thread(self._clock.set)
        self._opened.push_async_callback(self._log.close)
        self._feed = Feed(self._log)
        store = await asyncio.to_thread(self._log.store)
        self.store_id, self.epoch = store.store_id, store.epoch
        self.cloud_events = CloudEvents(store.store_id, store.epoch)

        models = PostgresReadModels(self._async_pool)
        self.watermarks = Watermarks(models.checkpoint, awaited=self._hurry)
        self.watermarks.attach(asyncio.get_running_loop())
        self.watermarks.advance(LOG, await models.head())
        bells = Bells()
        bells.attach(asyncio.get_running_loop())
        self.queries = Queries(models, self.watermarks, bells, store.epoch)
        self.upkeep = ReadModelUpkeep(
            [
                Projector(
                    self._feed,
                    TaskBoardProjection(),
                    self._view(TASK_BOARD),
                    changed=bells.ring,
                ),
                Projector(self._feed, AgentRosterProjection(), self._view(AGENT_ROSTER)),
                Projector(self._feed, ActivityFeedProjection(), self._view(ACTIVITY_FEED)),
            ],
            advanced=self.watermarks.advance,
        )
        self._wire_live(models)
        control_plane = ControlPlane(self._log, self._clock, all_handlers())
        self._writer = Writer(control_plane, on_commit=self._committed)
        self.commands = Commands(self._writer)
        self.workforce = Leader(
            lock=PostgresLeaderLock(self._database.url),
            event_log=self._log,
            feed=self._feed,
            source=models,
            upkeep=self.upkeep,
            commands=self.commands,
            clock=self._clock,
            watermarks=self.watermarks,
            rules=_rules(self.settings),
            relay=OutputRelay(self.hub.listeners, self._log),
            also=[self._deliver],
        )
        self._health = Health(self._log, self._writer, self.workforce, self.watermarks)

    def _wire_live(self, models: PostgresReadModels) -> None:
        self._announcer = PostgresAnnouncer(
            self._database.url,
            known=lambda: self.watermarks.position(LOG),
            heard=self._advanced,
        )
        head = self.watermarks.position(LOG)
        self._history = PostgresHistory(self._pool)
        self.hub = Hub(self._history, self.cloud_events, position=head)
        self.gate = Gate(self.queries, self.watermarks, epoch=self.epoch)
        self.watermarks.advance(SHOWN, head)
        self._shower = LogFollower(
            Unjudged(self._feed, self._log),
            self.watermarks,
            self.hub.show,
            name=SHOWN,
            after=head,
        )
        self._figures = TenantFigures(
            models,
            self.watermarks,
            self._clock,
            epoch=self.epoch,
            read_models=self.upkeep.names,
            leading=lambda: self.workforce.leading,
        )

    async def _begin(self) -> None:
        await self._writer.start()
        self._opened.push_async_callback(self._writer.stop)
        self.metrics.register(FiguresCollector(self._health.figures))
        for work in (
            self._announcer.run(),
            self._shower.follow(),
            self.hub.tell_positions(),
            self._figures.publish(self.hub.listeners),
            self.workforce.run(),
            self._keep_time(),
        ):
            self._opened.push_async_callback(_end, asyncio.create_task(work))

    async def readiness(self) -> dict[str, Any]:
        """See Health."""
        return await self._health.readiness()

    def _view(self, shape: Any) -> PostgresReadModelStore[Any, Any]:
        return PostgresReadModelStore(self._pool, shape)

    async def _open_accounts(self) -> None:
        settings = self.settings
        store = PostgresAccounts(self._async_pool)
        self.accounts = Accounts(store, Argon2Hasher())
        key_file = settings.signing_key_file or settings.data_dir / "signing-key.pem"
        key = await asyncio.to_thread(signing_key.load_or_make, key_file)
        issuer = f"urn:uuid:{self.store_id}"
        self._box = SigningKeySecretBox(key.private)
        self.tokens = JwtAccessTokens(key, issuer=issuer, lifetime_seconds=settings.token_seconds)
        spent = PostgresSpentTickets(self._async_pool)
        self.tickets = JwtTickets(key, spent, issuer=issuer)
        if not await store.has_administrator():
            given = settings.admin_password
            password = (
                given.get_secret_value()
                if given
                else keep_first_password(settings.data_dir, new_password)
            )
            await self.accounts.ensure_administrator(password)

    def _open_webhooks(self) -> None:
        private = self.settings.webhook_private_targets
        poster = HttpPoster(private=private)
        self._opened.push_async_callback(poster.close)
        means = Means(
            event_log=self._log,
            feed=self._feed,
            history=self._history,
            watermarks=self.watermarks,
            cloud_events=self.cloud_events,
            poster=poster,
            box=self._box,
            clock=self._clock,
            patience=self.patience,
        )
        self._post_office = PostOffice(PostgresDeliveries(self._async_pool), means)
        self.webhooks = Webhooks(
            PostgresWebhooks(self._async_pool),
            self._box,
            self.gate,
            self._clock,
            epoch=self.epoch,
            private_targets=private,
            changed=self._post_office.changed,
        )

    async def _deliver(self) -> None:
        await self._post_office.run()

    def _committed(self, written: Written, page: Page) -> None:
        if page:
            self._feed.publish(written, page)
            head = page[-1][0].position
            self._advanced(head)
            self._announcer.announce(head)

    def _advanced(self, head: int) -> None:
        self.upkeep.wake(head)
        self.watermarks.advance(LOG, head)

    def _hurry(self, name: str) -> None:
        self.upkeep.hurry(name)

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            with suppress(DatabaseUnavailable):
                await asyncio.to_thread(self._clock.set)


def _rules(settings: Settings) -> Rules:
    return Rules(
        lease=timedelta(seconds=settings.lease_seconds),
        heartbeat_seconds=settings.heartbeat_seconds,
        offline=timedelta(seconds=settings.offline_seconds),
        ageing_seconds=settings.ageing_seconds,
        policy=POLICIES[settings.routing_policy],
    )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
