"""What the HTTP layer needs of the process behind it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from application.accounts.account import AccessTokens
from application.accounts.administration import Accounts
from application.accounts.tickets import Tickets
from application.archives.archives import Archives
from application.archives.restores import Restores
from application.audit.ports import TrailEntries
from application.audit.trail import AuditTrail
from application.causation.causes import Causes
from application.cloud_events import CloudEvents
from application.commands import Command, RequestKey
from application.decisions.whatif import WhatIf
from application.decisions.why import Why
from application.erasure.disclosure import Disclosure
from application.erasure.keyring import Keyring
from application.erasure.subjects import Subjects
from application.export.exports import Exports
from application.imports.imports import Imports
from application.live.gate import Gate
from application.live.hub import Hub
from application.moments import Moments
from application.projections.upkeep import ReadModelUpkeep
from application.queries import Queries
from application.receipt import Receipt
from application.replays.replays import Replays
from application.seals.proofs import Proofs
from application.time_travel.time_travel import TimeTravel
from application.webhooks.administration import Webhooks
from application.workforce import Workforce
from domain.errors import ControlPlaneError


class Commands(Protocol):
    """The way to the writer."""

    async def execute(self, command: Command, key: RequestKey | None = None) -> Receipt:
        """Decide and record one command. Raises what its handler raises."""

    async def execute_many(
        self, commands: Sequence[Command], key: RequestKey | None = None
    ) -> list[Receipt | ControlPlaneError]:
        """The same for many at once, each with its own outcome, in order."""


class ServerSettings(Protocol):
    """The settings that concern the server."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def behind_proxy(self) -> bool: ...
    @property
    def allowed_origins(self) -> Sequence[str]: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def admin_password(self) -> SecretStr | None: ...
    @property
    def log_level(self) -> str: ...


class ControlPlane(Protocol):
    """A wired process: started and stopped by the application's lifespan.

    The stores are known once `start` has returned, so `store_id` and `epoch`, and what depends on
    them, may not be asked for before.
    """

    @property
    def commands(self) -> Commands: ...
    @property
    def queries(self) -> Queries: ...
    @property
    def workforce(self) -> Workforce: ...
    @property
    def upkeep(self) -> ReadModelUpkeep: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def tokens(self) -> AccessTokens: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def proofs(self) -> Proofs: ...
    @property
    def tickets(self) -> Tickets: ...
    @property
    def settings(self) -> ServerSettings: ...
    @property
    def epoch(self) -> int: ...
    @property
    def store_id(self) -> UUID: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def cloud_events(self) -> CloudEvents: ...
    @property
    def request_secret(self) -> bytes: ...
    @property
    def subjects(self) -> Subjects: ...
    @property
    def keyring(self) -> Keyring: ...
    @property
    def disclosure(self) -> Disclosure: ...
    @property
    def moments(self) -> Moments: ...
    @property
    def time_travel(self) -> TimeTravel: ...
    @property
    def audit(self) -> AuditTrail: ...
    @property
    def trail(self) -> TrailEntries: ...
    @property
    def replays(self) -> Replays: ...
    @property
    def exports(self) -> Exports: ...
    @property
    def imports(self) -> Imports: ...
    @property
    def archives(self) -> Archives: ...
    @property
    def restores(self) -> Restores: ...
    @property
    def why(self) -> Why: ...
    @property
    def causes(self) -> Causes: ...
    @property
    def what_if(self) -> WhatIf: ...
    @property
    def metrics(self) -> CollectorRegistry: ...

    @property
    def epoch_ended(self) -> asyncio.Event:
        """Set when the store was restored: this process is good for nothing any more."""

    def anew(self) -> "ControlPlane":
        """Another one like this, to be started once this one was stopped."""

    async def readiness(self) -> dict[str, Any]:
        """`{"ready": bool, "checks": {name: {...}}}`; never raises."""

    async def start(self) -> None:
        """Open the pools, start the threads; afterwards every other member works."""

    async def stop(self) -> None:
        """Finish what is under way, then close everything."""
