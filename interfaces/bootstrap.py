"""THE COMPOSITION ROOT: settings in, a wired and startable control plane out."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from application.accounts.administration import Accounts, new_password
from application.control_plane import ControlPlane
from application.handlers import all_handlers
from application.processes.leader import Leader, Rules
from application.projections.activity_feed import ActivityFeedProjection
from application.projections.agent_roster import AgentRosterProjection
from application.projections.runner import Projector
from application.projections.task_board import TaskBoardProjection
from application.queries import Queries
from application.watermarks import LOG, Watermarks
from application.writer import Commands, Writer
from domain.errors import DatabaseUnavailable
from domain.routing import POLICIES
from infrastructure.postgres.accounts import PostgresAccounts
from infrastructure.postgres.clock import PostgresClock
from infrastructure.postgres.database import database_of
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
from infrastructure.security import signing_key
from infrastructure.security.first_password import keep_first_password
from infrastructure.security.passwords import Argon2Hasher
from infrastructure.security.tokens import JwtAccessTokens
from infrastructure.settings import Settings
from infrastructure.telemetry.figures import Figures, FiguresCollector
from infrastructure.telemetry.logs import configure_logging

__all__ = ["ControlPlaneProcess", "Settings", "build"]

CLOCK_SECONDS = 60.0
LAG_EVENTS_MAX = 10_000


def build(settings: Settings) -> "ControlPlaneProcess":
    """A process that is wired when it starts. Does no I/O."""
    return ControlPlaneProcess(settings)


class ControlPlaneProcess:
    """One service process. Everything but the settings is there once `start` has returned."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = CollectorRegistry()
        url, owner = settings.database_url, settings.database_owner_url
        self._database = database_of(
            settings.data_dir,
            url.get_secret_value() if url else None,
            owner.get_secret_value() if owner else None,
        )
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the log, views, projections, commands and processes, in this order.

        Raises EmbeddedPostgresFailed, MigrationFailed, DatabaseUnavailable, UnsafeKey, OSError.
        """
        settings, database = self.settings, self._database
        configure_logging(settings.log_level)
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(database.start)
        await asyncio.to_thread(migrate, database.owner_url, database.url)
        half = settings.database_connections // 2
        self._pool = make_pool(database.url, connections_max=half)
        self._async_pool = make_async_pool(database.url, connections_max=half)
        await asyncio.to_thread(self._pool.open)
        await self._async_pool.open()

        self._log = PostgresLog(self._pool)
        self._clock = PostgresClock(self._pool)
        await asyncio.to_thread(self._clock.set)
        store = await asyncio.to_thread(self._log.store)
        self.store_id: UUID = store.store_id
        self.epoch: int = store.epoch

        models = PostgresReadModels(self._async_pool)
        self.watermarks = Watermarks(models.checkpoint)
        self.watermarks.attach(asyncio.get_running_loop())
        self.queries = Queries(models, self.watermarks, store.epoch)
        self.projectors = [
            Projector(self._log, TaskBoardProjection(), self._view(TASK_BOARD)),
            Projector(self._log, AgentRosterProjection(), self._view(AGENT_ROSTER)),
            Projector(self._log, ActivityFeedProjection(), self._view(ACTIVITY_FEED)),
        ]
        control_plane = ControlPlane(self._log, self._clock, all_handlers())
        self._writer = Writer(control_plane, on_commit=self._committed)
        self.commands = Commands(self._writer)
        self.workforce = Leader(
            lock=PostgresLeaderLock(database.url),
            event_log=self._log,
            source=models,
            projectors=self.projectors,
            commands=self.commands,
            clock=self._clock,
            watermarks=self.watermarks,
            rules=self._rules(),
        )
        await self._open_accounts()
        await asyncio.to_thread(self._writer.start)
        self.watermarks.advance(LOG, await models.head())
        self.metrics.register(FiguresCollector(self._figures))
        self._background = [
            asyncio.create_task(self.workforce.run()),
            asyncio.create_task(self._keep_time()),
        ]

    async def stop(self) -> None:
        """Stop leading, decide what waits, close everything."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._background:
            await asyncio.to_thread(self._writer.stop)
            await self._async_pool.close()
            await asyncio.to_thread(self._pool.close)
        await asyncio.to_thread(self._database.stop)

    async def readiness(self) -> dict[str, Any]:
        """Ready when the database answers, this process leads, and its read models are near the
        head."""
        try:
            head = await asyncio.to_thread(self._log.head)
        except DatabaseUnavailable:
            return {"ready": False, "checks": {"database": {"ok": False}}}
        models = {
            thread.name: {
                "ok": thread.stopped_before is None and lag <= LAG_EVENTS_MAX,
                "lag_events": lag,
                "stopped_before": thread.stopped_before,
            }
            for thread in self.workforce.threads
            for lag in [max(head - self.watermarks.position(thread.name), 0)]
        }
        leading = self.workforce.leading
        ready = leading and all(model["ok"] for model in models.values())
        checks = {"database": {"ok": True}, "dispatcher": {"ok": leading}, **models}
        return {"ready": ready, "checks": checks}

    def _view(self, shape: Any) -> PostgresReadModelStore[Any, Any]:
        return PostgresReadModelStore(self._pool, shape)

    def _rules(self) -> Rules:
        settings = self.settings
        return Rules(
            lease=timedelta(seconds=settings.lease_seconds),
            heartbeat_seconds=settings.heartbeat_seconds,
            offline=timedelta(seconds=settings.offline_seconds),
            ageing_seconds=settings.ageing_seconds,
            policy=POLICIES[settings.routing_policy],
        )

    async def _open_accounts(self) -> None:
        settings = self.settings
        self.request_keys = PostgresAccounts(self._async_pool)
        self.accounts = Accounts(self.request_keys, Argon2Hasher())
        key_file = settings.signing_key_file or settings.data_dir / "signing-key.pem"
        key = await asyncio.to_thread(signing_key.load_or_make, key_file)
        issuer = f"urn:uuid:{self.store_id}"
        self.tokens = JwtAccessTokens(key, issuer=issuer, lifetime_seconds=settings.token_seconds)
        if not await self.request_keys.has_administrator():
            given = settings.admin_password
            password = (
                given.get_secret_value()
                if given
                else keep_first_password(settings.data_dir, new_password)
            )
            await self.accounts.ensure_administrator(password)

    def _committed(self, head: int) -> None:
        self.watermarks.advance(LOG, head)
        self.workforce.wake()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            with suppress(DatabaseUnavailable):
                await asyncio.to_thread(self._clock.set)

    def _figures(self) -> Figures:
        names = [projector.projection.name for projector in self.projectors]
        head = self.watermarks.position(LOG)
        lag = {name: float(max(head - self.watermarks.position(name), 0)) for name in names}
        figures: Figures = {
            "log_position": ("Newest position of the log that this process knows", float(head)),
            "read_model_lag_events": ("How far each read model is behind the log", lag),
            "commands_waiting": ("Commands that wait for the writer", float(self._writer.waiting)),
            "leading": ("1 while this process dispatches", float(self.workforce.leading)),
        }
        if dispatcher := self.workforce.dispatcher:
            floor = dispatcher.floor
            held = sum(len(agent.held) for agent in floor.agents.values())
            online = sum(agent.online for agent in floor.agents.values())
            figures["tasks_open"] = ("Tasks that have not ended", float(len(floor.tasks)))
            figures["tasks_ready"] = ("Tasks that wait for an agent", float(len(floor.ready)))
            figures["leases_held"] = ("Leases outstanding", float(held))
            figures["agents_online"] = ("Agents heard of lately", float(online))
        return figures
