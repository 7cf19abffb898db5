"""The audit trail, as it is written and as it is read, and exports of the log."""

from dataclasses import dataclass

from application.audit.trail import AuditTrail
from application.duties import Duty
from application.erasure.disclosure import Disclosure
from application.export.exports import Exports
from application.seals.ports import Signer
from application.writer import Commands
from infrastructure.postgres.audit import PostgresOwners, PostgresTrail
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.live import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditing:
    """`duty` writes refusals."""

    trail: AuditTrail
    entries: PostgresTrail
    duty: Duty


def wire_exports(ground: Ground, live: Live, disclosure: Disclosure, signer: Signer) -> Exports:
    """Does no I/O."""
    return Exports(live.history, ground.cloud_events, disclosure, signer, ground.clock)


def wire_audit(ground: Ground, live: Live, commands: Commands) -> Auditing:
    """Does no I/O."""
    trail = AuditTrail(
        commands,
        PostgresOwners(ground.async_pool),
        ground.clock,
        replay_owner=live.replays.tenant_of,
    )
    return Auditing(
        trail=trail,
        entries=PostgresTrail(ground.async_pool),
        duty=Duty("audit", trail.run),
    )
