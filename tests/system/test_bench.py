"""The bench works: it measures what is there, says what is not, and leaves nothing behind."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import GOALS, described
from benchmarks.summary import ratio_of, spread, verdicts
from benchmarks.timing import percentile

ROOT = Path(__file__).parents[2]
WHY = "the tests do without them"
RUN_SECONDS_MAX = 240


def bench(folder: Path, only: str) -> list[str]:
    words = [sys.executable, "-m", "benchmarks", "--quick", "--only", only]
    words += ["--folder", str(folder), "--json", str(folder / "out.json")]
    return [*words, "--without-peers", WHY]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}


def test_it_measures_us_and_the_limits_and_goes_on_without_peers(tmp_path: Path) -> None:
    words = bench(tmp_path, "limits|floor|library|pgqueuer|commands|service|live")

    done = subprocess.run(
        words,
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert found["failed"] == {}
    assert found["missing"] == {"pgqueuer": WHY, "live_uwebsockets": WHY}
    figures = {goal.figure for goal in GOALS if not goal.figure.startswith(("growth", "history"))}
    assert figures <= set(found["figures"])
    may_be_zero = {"lag_tasks_p99", "lag_submit_p99", "live.idle_kib"}
    no_zeros = {
        name: one["least"] for name, one in found["figures"].items() if name not in may_be_zero
    }
    assert min(no_zeros.values()) > 0, no_zeros
    assert list(tmp_path.glob("run-*")) == []


def test_it_measures_history(tmp_path: Path) -> None:
    done = subprocess.run(
        bench(tmp_path, "history"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert found["failed"] == {}
    assert {goal.figure for goal in GOALS if goal.figure.startswith("history")} <= set(
        found["figures"]
    )
    assert found["figures"]["history.unequal"]["most"] == 0


def test_it_leaves_nothing_behind_when_it_is_interrupted(tmp_path: Path) -> None:
    running = subprocess.Popen(
        bench(tmp_path, "service"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stderr is not None
        assert "service" in running.stderr.readline()
        deadline = time.monotonic() + RUN_SECONDS_MAX
        while not (started := descendants(running.pid, "interfaces.cli.main")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        everything = psutil.Process(running.pid).children(recursive=True)

        running.send_signal(signal.SIGINT)

        assert running.wait(RUN_SECONDS_MAX) == 130
    assert started
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert alive == []
    assert list(tmp_path.glob("run-*")) == []


def descendants(pid: int, words: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if words in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_two_runs_in_one_folder_do_not_measure_each_other(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        done = subprocess.run(
            bench(tmp_path, "limits"),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS_MAX,
        )

    assert done.returncode == 1
    assert "another bench runs here" in done.stderr


def test_a_ratio_is_taken_within_a_round_and_the_median_of_the_ratios_counts() -> None:
    samples = {"ours": [(1, 10.0), (2, 100.0), (3, 30.0)], "theirs": [(2, 10.0), (1, 10.0)]}

    ratio = ratio_of(samples, "ours", "theirs")

    assert ratio is not None
    assert (ratio.median, ratio.least, ratio.most) == (5.5, 1.0, 10.0)


def test_what_is_missing_is_neither_reached_nor_missed() -> None:
    of_nothing = verdicts({})
    of_one_side = verdicts({"append_256": [(1, 1e9)]})

    assert {verdict.reached for verdict in of_nothing} == {None}
    assert [v.reached for v in of_one_side if v.goal.figure == "append_256"] == [True, None]


def test_a_bound_holds_in_its_own_direction() -> None:
    samples = {"musterroll.pickup_p50": [(1, 5.1)], "musterroll.status": [(1, 7_999.0)]}

    missed = [v.goal.figure for v in verdicts(samples) if v.reached is False]

    assert missed == ["musterroll.pickup_p50", "musterroll.status"]


def test_every_figure_with_a_goal_has_a_title() -> None:
    named = [name for goal in GOALS for name in (goal.figure, goal.against) if name]

    assert all(described(name).title for name in named)


def test_spread_and_percentile_are_of_what_was_measured() -> None:
    assert spread([]) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([1.0, 2.0], 0.99) == 2.0
