"""Goal: whatever cuts off what is done to archives, what is listed is whole, and the next run goes
on.

Method: kills, torn writes, a full disk and a broken one at every call that changes a file, in a
process of its own. `scripts/archive_faults.py` does all of them, this a part.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import SEED
from tests.faults.restore_stand import mounts_of_its_own

SHARES = {"put": 1.0, "replace": 1.0, "delete": 1.0, "continue": 0.2, "expire": 0.2, "sweep": 0.2}


def a_run(*words: str) -> tuple[int, dict[str, object]]:
    """In a process without threads, since it forks. How it ended, and what it told."""
    program = [sys.executable, "-m", "tests.faults.archive_faults", "--seed", os.environ[SEED]]
    done = subprocess.run(
        [*program, *words], capture_output=True, text=True, check=False, timeout=240
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("scenario", SHARES)
def test_a_fault_at_any_step_harms_nothing_that_is_listed(scenario: str) -> None:
    ended, told = a_run("--only", scenario, "--share", str(SHARES[scenario]))

    assert (ended, told["wrong"]) == (0, [])


def test_on_s3_a_fault_at_any_request_harms_nothing_that_is_listed() -> None:
    ended, told = a_run("--s3", "--only", "continue", "--share", "0.15")

    assert (ended, told["wrong"]) == (0, [])


@pytest.mark.skipif(mounts_of_its_own() is None, reason="a small disk takes `unshare --mount`")
def test_a_kill_or_a_full_disk_at_any_step_of_a_restore_leaves_a_store_that_serves() -> None:
    ended, told = a_run("--restores", "--share", "0.006")

    assert (ended, told["wrong"]) == (0, [])


def test_what_writes_in_place_is_found_out() -> None:
    ended, told = a_run("--only", "unsafe")

    assert ended == 1
    assert any("kill" in str(wrong) for wrong in list(told["wrong"]))  # type: ignore[call-overload]
