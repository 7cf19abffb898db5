"""One run of the bench; scripts/bench.py calls it in the right environment."""

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from benchmarks.effort import FULL, QUICK, Effort
from benchmarks.environment import FOLDER
from benchmarks.machine import describe
from benchmarks.place import NotMeasured, a_place
from benchmarks.report import print_tables, write_json
from benchmarks.rounds import Outcome, take

RESULTS = Path(__file__).parent / "results"
ALL = "^(?!history_)"
LIVE = "^live_"
HISTORY = "^history_"


def main() -> int:
    """0 when everything that is there was measured, 1 when something failed, 130 on Ctrl-C."""
    asked = _parser().parse_args()
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    began = time.monotonic()
    try:
        with a_place(asked.folder, _effort(asked), asked.without_peers) as place:
            machine = describe(place)
            outcome = take(place, asked.only)
            taken_seconds = time.monotonic() - began
            print_tables(outcome, machine, everything=asked.only == ALL)
            path = _path(asked, outcome)
            write_json(path, outcome, machine, place.effort, taken_seconds)
    except NotMeasured as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped; nothing is left running", file=sys.stderr)
        return 130
    print(f"{taken_seconds:.0f} s; everything is in {path}")
    return 1 if outcome.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py", description="Measure this machine, the peers and us, side by side."
    )
    parser.add_argument("--quick", action="store_true", help="only show that the bench works")
    parser.add_argument(
        "--only", metavar="PATTERN", default=ALL, help="only groups whose name matches"
    )
    parser.add_argument(
        "--live", dest="only", action="store_const", const=LIVE, help="only live events"
    )
    parser.add_argument(
        "--history", dest="only", action="store_const", const=HISTORY, help="only history"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each figure is taken")
    parser.add_argument(
        "--growth", type=int, metavar="EVENTS", help="how long the log grows; no limit of time then"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", default=FOLDER, help="on the disk to be measured"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where everything is written")
    parser.add_argument("--without-peers", metavar="WHY", help="leave the peers out")
    return parser


def _effort(asked: argparse.Namespace) -> Effort:
    effort = QUICK if asked.quick else FULL
    if asked.rounds:
        effort = replace(effort, rounds=asked.rounds)
    if asked.growth:
        effort = replace(effort, growth_events=asked.growth, growth_fill_seconds=float("inf"))
    return effort


def _path(asked: argparse.Namespace, outcome: Outcome) -> Path:
    """The committed files hold whole runs only, of everything, live events or history, with the
    peers where there are any, and without a failure."""
    if asked.json:
        return Path(asked.json)
    names = {ALL: "last.json", LIVE: "live.json", HISTORY: "history.json"}
    partly = asked.quick or asked.rounds or asked.without_peers or outcome.failed
    return (
        FOLDER / "last.json" if partly or asked.only not in names else RESULTS / names[asked.only]
    )


def _as_ctrl_c(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
