"""The rounds of a run: every group once in each, in an order that turns round each time."""

import re
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.children import ChildFailed
from benchmarks.groups import GROUPS, LAST, Group
from benchmarks.place import NotMeasured, Place


@dataclass(slots=True)
class Outcome:
    """What a run found. `samples`: `{figure: {round: value}}`; a figure may have several a round
    only where it compares with itself. `missing` and `failed`: `{group: why}`."""

    samples: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def take(place: Place, only: str) -> Outcome:
    """Measure everything whose group's name the pattern matches."""
    outcome = Outcome()
    began = time.monotonic()
    for number, total, name, group in _schedule(only, place.effort.rounds):
        if name in outcome.missing or name in outcome.failed:
            continue
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        _tell(f"{minutes}:{seconds:02} round {number} of {total}: {name}")
        _take_group(place, group, name, number, outcome)
    _choose_faster_pool(outcome)
    return outcome


def _schedule(only: str, rounds: int) -> Iterator[tuple[int, int, str, Group]]:
    chosen = [(name, group) for name, group in GROUPS.items() if re.search(only, name)]
    for number in range(1, rounds + 1):
        for name, group in chosen if number % 2 else reversed(chosen):
            yield number, rounds, name, group
    for name, group in LAST.items():
        if re.search(only, name):
            yield 1, 1, name, group


def _take_group(place: Place, group: Group, name: str, number: int, outcome: Outcome) -> None:
    def record(figure: str, value: float) -> None:
        outcome.samples[figure].append((number, value))

    try:
        group(place, record)
    except NotMeasured as why:
        outcome.missing[name] = str(why)
        _tell(f"  not measured: {why}")
    except Exception as why:  # noqa: BLE001 - the runner: what fails is told, and the rest goes on
        if not isinstance(why, ChildFailed):
            traceback.print_exc()
        outcome.failed[name] = f"{why}" or type(why).__name__
        _tell(f"  FAILED: {why}")


def _choose_faster_pool(outcome: Outcome) -> None:
    """The better of the two ways to INSERT is what we are compared with."""
    pools = [outcome.samples[f"starlette_{pool}"] for pool in ("psycopg", "asyncpg")]
    fastest = max(pools, key=lambda samples: sum(value for _, value in samples))
    outcome.samples["starlette_insert"] = fastest


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
