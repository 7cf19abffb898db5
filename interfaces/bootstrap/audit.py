"""The audit trail, as it is written and as it is read; exports of the log, and imports."""

from dataclasses import dataclass

from application.audit.trail import AuditTrail
from application.duties import Duty
from application.erasure.disclosure import Disclosure
from application.export.exports import Exports
from application.imports.imports import Imports, Trust
from application.imports.imports import Personal as Known
from application.seals.ports import Signer
from application.writer import Commands
from infrastructure.postgres.audit import PostgresOwners, PostgresTrail
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.live import Live
from interfaces.bootstrap.seals import Seals, signed
from interfaces.bootstrap.subjects import Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditing:
    """`duty` writes refusals."""

    trail: AuditTrail
    entries: PostgresTrail
    duty: Duty


def wire_exports(ground: Ground, live: Live, disclosure: Disclosure, signer: Signer) -> Exports:
    """Does no I/O."""
    return Exports(live.history, ground.cloud_events, disclosure, signer, ground.clock)


def wire_imports(
    ground: Ground, live: Live, commands: Commands, personal: Personal, seals: Seals
) -> Imports:
    """Does no I/O."""
    return Imports(
        ground.log,
        live.history,
        commands,
        personal=Known(
            subjects=personal.subjects,
            keyring=personal.keyring,
            sealing=personal.sealing,
            disclosure=personal.disclosure,
        ),
        trust=Trust(signed=signed, signer=seals.signer, proofs=seals.proofs),
        clock=ground.clock,
    )


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
