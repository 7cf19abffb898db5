"""A comparison of two policies, as it is shown."""

from collections.abc import Sequence
from typing import Any

from application.cursor import Cursor
from application.decisions.replay import Choice, Difference
from application.decisions.simulation import Times
from application.decisions.whatif import Comparison, Estimate
from interfaces.http.schemas.decisions import (
    AgentShares,
    ChoiceShown,
    DifferenceShown,
    EstimateShown,
    Spread,
    TimesShown,
    named,
)

CAVEAT = (
    "Estimated by simulation. Recorded readings do not change with the choice; an attempt takes as "
    "long as it took, by another agent as long as its attempts of that kind took on average; tasks "
    "become ready when they did; agents have the slots that were last recorded, and are there from "
    "when they were first considered until the end."
)


def comparison_of(comparison: Comparison, epoch: int) -> dict[str, Any]:
    """All of it but the range."""
    replay, estimate = comparison.replay, comparison.estimate
    differing = replay.changed + replay.rescored_alone
    return {
        "policy": {"name": replay.policy.name, "version": replay.policy.version},
        "decisions": replay.decisions,
        "changed": replay.changed,
        "share": round(replay.changed / replay.decisions, 6) if replay.decisions else 0.0,
        "rescored": replay.rescored,
        "agents": _agents(comparison),
        "differences": [_difference(one, comparison, epoch) for one in replay.differences],
        "truncated": differing > len(replay.differences),
        "estimate": None if estimate is None else _estimate(estimate),
    }


def _agents(comparison: Comparison) -> list[AgentShares]:
    then, instead = comparison.replay.then, comparison.replay.instead
    most = sorted(then.keys() | instead.keys(), key=lambda one: (-then[one], -instead[one], one))
    return [
        {**named(one, comparison.names), "then": then[one], "instead": instead[one]} for one in most
    ]


def _difference(one: Difference, comparison: Comparison, epoch: int) -> DifferenceShown:
    return {
        "cursor": str(Cursor(epoch, one.position)),
        "task_id": one.task_id,
        "then": _choice(one.then, comparison),
        "instead": _choice(one.instead, comparison),
    }


def _choice(one: Choice, comparison: Comparison) -> ChoiceShown:
    return {
        **named(one.agent_id, comparison.names),
        "score_then": one.score_then,
        "score_instead": one.score_instead,
    }


def _estimate(estimate: Estimate) -> EstimateShown:
    name, version = estimate.recorded_policy
    return {
        "recorded_policy": {"name": name, "version": version},
        "recorded": None if estimate.recorded is None else _times(estimate.recorded),
        "instead": _times(estimate.instead),
        "happened": _times(estimate.happened),
        "caveat": CAVEAT,
    }


def _times(times: Times) -> TimesShown:
    return {
        "attempts": len(times.finishing),
        "waiting_seconds": _spread(times.waiting),
        "finishing_seconds": _spread(times.finishing),
        "until_last_seconds": round(times.until_last, 3),
    }


def _spread(seconds: Sequence[float]) -> Spread:
    ordered = sorted(seconds) or [0.0]

    def at(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)

    mean = round(sum(ordered) / len(ordered), 3)
    return {"mean": mean, "p50": at(0.5), "p95": at(0.95), "max": at(1.0)}
