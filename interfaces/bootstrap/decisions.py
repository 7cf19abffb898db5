"""Decisions explained and replayed, and the graph of causes and effects."""

from dataclasses import dataclass
from functools import partial

from application.causation.causes import Causes
from application.decisions.whatif import WhatIf
from application.decisions.why import Why
from application.erasure.disclosure import Disclosure
from infrastructure.postgres.causation import PostgresCausation
from infrastructure.postgres.decisions import PostgresDecisions
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.views import Views


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why something happened, and what if it had not."""

    why: Why
    causes: Causes
    what_if: WhatIf


def wire_reasons(ground: Ground, views: Views, disclosure: Disclosure) -> Reasons:
    """Does no I/O."""
    epoch = ground.store.epoch
    decisions = PostgresDecisions(ground.pool)
    return Reasons(
        why=Why(decisions, ground.log, disclosure),
        causes=Causes(
            PostgresCausation(ground.pool, epoch=epoch),
            board_shown=partial(views.queries.caught_up, "task_board"),
            epoch=epoch,
            disclosure=disclosure,
        ),
        what_if=WhatIf(decisions, epoch=epoch),
    )
