"""A service process: its parts in the order in which they stand on one another."""

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from application.control_plane import ControlPlane
from application.duties import Duty, cancelled
from application.handlers import all_handlers
from application.health import Health
from application.live.output import OutputRelay
from application.moments import Moments
from application.ports import Page, Written
from application.processes.leader import Leader
from application.webhooks.patience import Patience
from application.writer import Commands, Writer
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.database import database_of
from infrastructure.postgres.leader_lock import PostgresLeaderLock
from infrastructure.postgres.moments import PostgresRecordedTimes
from infrastructure.settings import Settings
from infrastructure.telemetry.figures import FiguresCollector
from infrastructure.telemetry.logs import configure_logging
from interfaces.bootstrap.accounts import People, open_accounts
from interfaces.bootstrap.archives import wire_archives
from interfaces.bootstrap.audit import wire_audit, wire_exports, wire_imports
from interfaces.bootstrap.decisions import wire_reasons
from interfaces.bootstrap.ground import Ground, open_ground
from interfaces.bootstrap.live import Live, wire_live
from interfaces.bootstrap.restores import wire_restores
from interfaces.bootstrap.rules import rules_of
from interfaces.bootstrap.seals import open_seals
from interfaces.bootstrap.subjects import Personal, duties_of, open_subjects
from interfaces.bootstrap.time_travel import wire_time_travel
from interfaces.bootstrap.views import Views, wire_views
from interfaces.bootstrap.webhooks import Post, wire_webhooks

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
        self.epoch_ended = asyncio.Event()
        url, owner = settings.database_url, settings.database_owner_url
        self._database = database_of(
            settings.data_dir,
            url.get_secret_value() if url else None,
            owner.get_secret_value() if owner else None,
        )
        self._opened = AsyncExitStack()

    async def start(self) -> None:
        """Open the log, views, live events, accounts and webhooks, then begin to work.

        Raises EmbeddedPostgresFailed, MigrationFailed, DatabaseUnavailable, UnsafeKey, Invalid (the
        first password), ErasuresUnreadable, ErasureNotKept, OSError; what was opened is closed
        again then.
        """
        configure_logging(self.settings.log_level)
        try:
            ground = await open_ground(self.settings, self._database, self._opened)
            people = await open_accounts(ground, self.settings)
            personal = await open_subjects(ground, self.settings, people.vault)
            self._wire_subjects(personal)
            self.request_secret = people.vault.request_secret
            disclosure = personal.disclosure
            views = await wire_views(ground, disclosure)
            live = wire_live(ground, views, disclosure, leading=lambda: self.workforce.leading)
            post = wire_webhooks(
                ground,
                views,
                live,
                people.box,
                disclosure,
                private=self.settings.webhook_private_targets,
                patience=self.patience,
                opened=self._opened,
            )
            self._seals = await open_seals(ground, views, self.settings)
            self._wire(ground, views, live, people, post)
            await self._begin()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop leading, decide what waits, close everything."""
        await self._opened.aclose()

    def anew(self) -> "ControlPlaneProcess":
        """Another one like this, for the epoch after this one's. Does no I/O."""
        return build(self.settings)

    async def readiness(self) -> dict[str, Any]:
        """See Health."""
        return await self._health.readiness()

    def _wire_subjects(self, personal: Personal) -> None:
        self._personal = personal
        self.subjects, self.disclosure = personal.subjects, personal.disclosure
        self.keyring = personal.keyring

    def _wire(self, ground: Ground, views: Views, live: Live, people: People, post: Post) -> None:
        self.store_id, self.epoch = ground.store.store_id, ground.store.epoch
        self.cloud_events = ground.cloud_events
        self.watermarks, self.queries, self.upkeep = views.watermarks, views.queries, views.upkeep
        self.moments = Moments(
            PostgresRecordedTimes(ground.async_pool), ground.clock, epoch=ground.store.epoch
        )
        self.time_travel, self._keeping = wire_time_travel(
            ground, views, self.moments, self.disclosure
        )
        self.hub, self.gate, self.replays = live.hub, live.gate, live.replays
        self.keyring.when_erased(self.hub.forget)
        reasons = wire_reasons(ground, views, self.disclosure)
        self.why, self.causes, self.what_if = reasons.why, reasons.causes, reasons.what_if
        self.accounts, self.tokens, self.tickets = people.accounts, people.tokens, people.tickets
        self.webhooks, self.proofs = post.webhooks, self._seals.proofs
        self._announcer = live.announcer
        self._wire_work(ground, views, live, post)

    def _wire_work(self, ground: Ground, views: Views, live: Live, post: Post) -> None:
        handlers = all_handlers(self._personal.sealing)
        control_plane = ControlPlane(ground.log, ground.clock, handlers, self.keyring)
        committed = partial(_committed, ground, views, live)
        self._writer = Writer(control_plane, on_commit=committed)
        self.commands = Commands(self._writer)
        auditing = wire_audit(ground, live, self.commands)
        self.audit, self.trail = auditing.trail, auditing.entries
        self.exports = wire_exports(ground, live, self.disclosure, self._seals.signer)
        self.imports = wire_imports(ground, live, self.commands, self._personal, self._seals)
        self._wire_backups(ground, views)
        restoring = wire_restores(ground, self._backups, ended=self.epoch_ended)
        self.restores = restoring.restores
        leading = [post.duty, self._seals.duty, self._keeping, *self._backups.leading]
        leading.append(restoring.leading)
        self.workforce = Leader(
            lock=PostgresLeaderLock(ground.url),
            event_log=ground.log,
            feed=ground.feed,
            source=ground.models,
            upkeep=views.upkeep,
            commands=self.commands,
            clock=ground.clock,
            watermarks=views.watermarks,
            rules=rules_of(self.settings),
            relay=OutputRelay(live.hub.listeners, ground.log),
            also=[duty.run for duty in leading],
            disclosure=self.disclosure,
        )
        self._duties = [
            *live.duties,
            Duty("leading", self.workforce.run),
            auditing.duty,
            *duties_of(self.subjects, self.commands),
            self._backups.watching,
            restoring.watching,
            Duty("clock", partial(_keep_time, ground)),
        ]
        self._health = Health(
            ground.log,
            self._writer,
            self.workforce,
            views.watermarks,
            live=live.showing,
            sealing=self._seals.duty,
            keeper=self.time_travel.keeper,
            backups=self._backups.alarm,
            backing_up=self._backups.leading,
            duties=[*self._duties, *leading],
        )

    def _wire_backups(self, ground: Ground, views: Views) -> None:
        self._backups = wire_archives(
            ground,
            views,
            self.commands,
            self._seals.signer,
            self.settings,
            owner_url=self._database.owner_url,
            opened=self._opened,
        )
        self.archives = self._backups.archives

    async def _begin(self) -> None:
        await self._writer.start()
        self._opened.push_async_callback(self._writer.stop)
        self._opened.push_async_callback(self.audit.flush)
        self._opened.push_async_callback(self.replays.stop)
        await self.subjects.finish(self.commands)
        self.metrics.register(FiguresCollector(self._health.figures))
        for duty in self._duties:
            self._opened.push_async_callback(_end, asyncio.create_task(duty.run()))


def _committed(ground: Ground, views: Views, live: Live, written: Written, page: Page) -> None:
    if page:
        ground.feed.publish(written, page)
        head = page[-1][0].position
        views.advanced(head)
        live.announcer.announce(head)


async def _keep_time(ground: Ground) -> None:
    while not cancelled():
        await asyncio.sleep(CLOCK_SECONDS)
        with suppress(DatabaseUnavailable):
            await asyncio.to_thread(ground.clock.set)


async def _end(task: asyncio.Task[None]) -> None:
    # Once more each second: a cancellation can get lost in what the task waits for (`cancelled`).
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
