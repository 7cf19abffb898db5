"""From samples to medians, ratios and verdicts."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import GOALS, Goal

Samples = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, the least and the most of them."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what came of it. `ratio` is None where the goal is a number, `reached` where
    something is missing."""

    goal: Goal
    ratio: Spread | None
    reached: bool | None


def spread(values: Sequence[float]) -> Spread | None:
    """Of no values: None."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def spread_of(samples: Samples, figure: str) -> Spread | None:
    """Of all samples of a figure."""
    return spread([value for _, value in samples.get(figure, ())])


def ratio_of(samples: Samples, figure: str, against: str) -> Spread | None:
    """The ratios of samples that were taken in the same round."""
    others = dict(samples.get(against, ()))
    pairs = [(value, others[at]) for at, value in samples.get(figure, ()) if at in others]
    return spread([value / other for value, other in pairs])


def verdicts(samples: Samples) -> list[Verdict]:
    """One for each goal, in order."""
    return [_verdict(goal, samples) for goal in GOALS]


def _verdict(goal: Goal, samples: Samples) -> Verdict:
    ratio = None
    found = spread_of(samples, goal.figure)
    if goal.against is not None:
        found = ratio = ratio_of(samples, goal.figure, goal.against)
    if found is None:
        return Verdict(goal, ratio, None)
    reached = found.median <= goal.bound if goal.at_most else found.median >= goal.bound
    return Verdict(goal, ratio, reached)
