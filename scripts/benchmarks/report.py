"""What a run found: tables for people, JSON for everything else."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.effort import Effort
from benchmarks.figures import (
    GOALS,
    GROWTH,
    HISTORY,
    LIMITS,
    LIVE,
    LIVE_FIGURES,
    LIVE_SIDES,
    NO_BULK,
    OURS,
    PEER_FIGURES,
    PEERS,
    Figure,
    described,
)
from benchmarks.rounds import Outcome
from benchmarks.summary import Spread, Verdict, spread_of, verdicts

WIDTH = 150
VERDICTS = {True: "yes", False: "NO", None: "not measured"}


def print_tables(outcome: Outcome, machine: dict[str, Any], *, everything: bool) -> None:
    """The limits, the peers beside us, and our figures with their goals; with `everything`, also
    the goals of figures that are missing."""
    console = Console(width=WIDTH, highlight=False)
    console.print(_machine_line(machine))
    tables = (
        _plain("Limits of this machine", LIMITS, outcome),
        _peers(outcome),
        _live(outcome),
        _goals(outcome, everything=everything),
        _plain("Further figures", _without_goals(), outcome),
    )
    for table in tables:
        if table.row_count:
            console.print(table)
    for group, why in (outcome.missing | outcome.failed).items():
        word = "FAILED" if group in outcome.failed else "not measured"
        console.print(f"{group}: {word}: {why}", markup=False)


def write_json(
    path: Path, outcome: Outcome, machine: dict[str, Any], effort: Effort, seconds: float
) -> None:
    """Everything: each sample with its round, and what was made of it."""
    samples = {figure: taken for figure, taken in outcome.samples.items() if taken}
    document = {
        "machine": machine,
        "effort": effort.as_argument(),
        "seconds": round(seconds),
        "missing": outcome.missing,
        "failed": outcome.failed,
        "figures": {figure: _figure(outcome, figure) for figure in sorted(samples)},
        "goals": [_goal(verdict) for verdict in verdicts(outcome.samples)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _figure(outcome: Outcome, name: str) -> dict[str, Any]:
    figure, found = described(name), spread_of(outcome.samples, name)
    assert found is not None
    return {
        "title": figure.title,
        "unit": figure.unit,
        "over_http": figure.http,
        "median": _rounded(found.median),
        "least": _rounded(found.least),
        "most": _rounded(found.most),
        "samples": [[number, _rounded(value)] for number, value in outcome.samples[name]],
    }


def _goal(verdict: Verdict) -> dict[str, Any]:
    goal, ratio = verdict.goal, verdict.ratio
    return {
        "figure": goal.figure,
        "against": goal.against,
        "at_most" if goal.at_most else "at_least": goal.bound,
        "ratio": None if ratio is None else _rounded(ratio.median),
        "reached": verdict.reached,
    }


def _goals(outcome: Outcome, *, everything: bool) -> Table:
    table = Table(title="Figures and goals", title_justify="left")
    for heading in ("figure", "over HTTP"):
        table.add_column(heading)
    for heading in ("median", "least .. most", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("compared with")
    for heading in ("its median", "ratio", "reached"):
        table.add_column(heading, justify="right")
    for verdict in verdicts(outcome.samples):
        of_another_run = verdict.goal.figure in HISTORY
        if (everything and not of_another_run) or outcome.samples.get(verdict.goal.figure):
            table.add_row(*_goal_row(outcome, verdict))
    return table


def _goal_row(outcome: Outcome, verdict: Verdict) -> Iterable[str]:
    goal = verdict.goal
    figure = described(goal.figure)
    found = spread_of(outcome.samples, goal.figure)
    against = described(goal.against) if goal.against else None
    other = spread_of(outcome.samples, goal.against) if goal.against else None
    sign = "<=" if goal.at_most else ">="
    return (
        figure.title,
        "yes" if figure.http else "no",
        _median(found, figure.unit),
        _range(found),
        f"{sign} {goal.bound:g} x" if goal.against else f"{sign} {_number(goal.bound)}",
        against.title if against else "",
        _median(other, against.unit) if against else "",
        f"{verdict.ratio.median:.2f}" if verdict.ratio else "",
        VERDICTS[verdict.reached],
    )


def _plain(title: str, figures: dict[str, Figure], outcome: Outcome) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("median", justify="right")
    table.add_column("least .. most", justify="right")
    for name, figure in figures.items():
        found = spread_of(outcome.samples, name)
        if found is not None:
            table.add_row(figure.title, _median(found, figure.unit), _range(found))
    return table


def _peers(outcome: Outcome) -> Table:
    table = Table(title="Task queues side by side (medians)", title_justify="left")
    table.add_column("system")
    for heading in PEER_FIGURES.values():
        table.add_column(heading, justify="right")
    for peer, title in PEERS.items():
        cells = []
        for figure in PEER_FIGURES:
            found = spread_of(outcome.samples, f"{peer}.{figure}")
            bulk_without = figure.endswith("bulk") and peer in NO_BULK
            cells.append("-" if found is None or bulk_without else _number(found.median))
        if set(cells) != {"-"}:
            table.add_row(title, *cells)
    return table


def _live(outcome: Outcome) -> Table:
    table = Table(title="Live events: deliveries a second (medians)", title_justify="left")
    table.add_column("server")
    for heading in LIVE_FIGURES.values():
        table.add_column(heading, justify="right")
    for side, title in LIVE_SIDES.items():
        found = [spread_of(outcome.samples, f"live.{side}.{figure}") for figure in LIVE_FIGURES]
        if any(found):
            table.add_row(title, *("-" if one is None else _number(one.median) for one in found))
    return table


def _without_goals() -> dict[str, Figure]:
    with_goals = {goal.figure for goal in GOALS}
    return {
        name: one
        for name, one in (OURS | GROWTH | LIVE | HISTORY).items()
        if name not in with_goals
    }


def _machine_line(machine: dict[str, Any]) -> str:
    words = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, kernel "
    words += f"{machine['kernel']}, PostgreSQL {machine['postgresql']['server_version']} on "
    words += f"{machine['file_system']}, Python {machine['python']}, {machine['at']}"
    if not machine["durable"]:
        words += "\nThat is no disk: nothing here is durable, and the figures mean little."
    return words


def _median(found: Spread | None, unit: str) -> str:
    return "-" if found is None else f"{_number(found.median)} {unit}"


def _range(found: Spread | None) -> str:
    return "" if found is None else f"{_number(found.least)} .. {_number(found.most)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
