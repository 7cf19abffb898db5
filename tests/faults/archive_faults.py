"""The long run of faults at every step of what is done to archives: see archive_interruptions.py.

`--s3` does it over a real S3 server instead of a folder: kills before a request and before its
answer, and requests that are refused. `--restores` does restores, drills and undoing: see
restore_interruptions.py.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.archive_interruptions import PLANTED, SCENARIOS, Met, met_by
from tests.faults.archive_s3_interruptions import S3_SCENARIOS, met_by_s3, s3_process
from tests.faults.restore_interruptions import RESTORES, met_by_job
from tests.faults.restore_stand import in_own_mounts, stand

RESULTS = Path("scripts/benchmarks/results")
QUICK_SHARE = 0.05


def main() -> int:
    """1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = sorted(SCENARIOS | PLANTED) + list(RESTORES)
    parser.add_argument("--only", choices=known, action="append")
    parser.add_argument("--s3", action="store_true", help="over S3 instead of a folder")
    parser.add_argument("--restores", action="store_true", help="restore, drill and undo instead")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps that are tried")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--quick", action="store_true", help="a twentieth; nothing is written down")
    told = parser.parse_args()
    if told.restores:
        in_own_mounts("tests.faults.archive_faults", sys.argv[1:])
    share = QUICK_SHARE if told.quick else told.share
    began, rng = time.monotonic(), random.Random(told.seed)
    scenarios: dict[str, Any] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="musterroll-faults-") as folder:
        meeting = _met_by_restores if told.restores else _met_by_steps
        for name, met in meeting(told, Path(folder), share, rng):
            scenarios[name] = {"steps": met.steps, **met.runs}
            wrong += met.wrong
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": told.seed,
        "scenarios": scenarios,
        "wrong": wrong,
        "seconds": round(time.monotonic() - began, 1),
    }
    text = json.dumps(result, indent=2) + "\n"
    sys.stdout.write(text)
    if share == 1 and not told.only:
        kind = "_restores" if told.restores else "_s3" if told.s3 else ""
        (RESULTS / f"archive_faults{kind}.json").write_text(text)
    return 1 if wrong else 0


def _met_by_steps(
    told: argparse.Namespace, folder: Path, share: float, rng: random.Random
) -> Iterator[tuple[str, Met]]:
    with s3_process(told.s3) as url:
        for name in told.only or list(S3_SCENARIOS if told.s3 else SCENARIOS):
            scenario, place = (SCENARIOS | PLANTED)[name](), folder / name
            if url is None:
                yield name, met_by(scenario, place, share=share, rng=rng)
            else:
                yield name, met_by_s3(scenario, place, url, share=share, rng=rng)


def _met_by_restores(
    told: argparse.Namespace, folder: Path, share: float, rng: random.Random
) -> Iterator[tuple[str, Met]]:
    with stand(folder) as made:
        wanted = made.wanted()
        for name in told.only or RESTORES:
            yield name, met_by_job(made, wanted[name], share=share, rng=rng)


if __name__ == "__main__":
    sys.exit(main())
