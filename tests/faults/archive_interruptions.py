"""Kills, full disks and broken ones at every step of what is done to archives.

A scenario prepares a folder, then runs in a process of its own, which meets a fault at its n-th
call of the operating system that changes a file. Afterwards whatever is listed has to be whole, and
a second run without faults has to come to what a run without any comes to. n goes from 1 until
there is no such call any more.

To add one: a class with the members of `Scenario`, and a line in SCENARIOS. What it runs has to
call `os.write` and the others of CALLS itself: what a library in C writes is not seen.
"""

import errno
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from application.archives.faults import RepositoryFull, RepositoryUnavailable
from tests.faults.archive_scenarios import (
    Continuing,
    Deleting,
    Expiring,
    Putting,
    Replacing,
    Sweeping,
    Unsafe,
)

CALLS = ("open", "write", "fsync", "link", "replace", "rename", "unlink", "mkdir", "ftruncate")
"""Of `os.open` only those that make a file count."""
GROWING = frozenset({"open", "write", "fsync", "link", "mkdir"})
"""What a full disk refuses."""
Fault = Literal["kill", "torn", "full", "broken"]
FAULTS: tuple[Fault, ...] = ("kill", "torn", "full", "broken")
"""Killed before the call; killed when half of what is written is written; no room from then on;
this one call fails."""
DONE, REFUSED, WRONG = 0, 3, 4
"""How the process ends, where nothing kills it."""


class Scenario(Protocol):
    """Something that is done to archives in a folder."""

    def prepare(self, place: Path) -> None:
        """What is there before."""

    def run(self, place: Path) -> None:
        """What may be interrupted. It may raise RepositoryFull and RepositoryUnavailable."""

    def check(self, place: Path) -> None:
        """What has to be so however it was interrupted. Raises AssertionError."""

    def outcome(self, place: Path) -> Any:
        """What a whole run comes to, to be compared."""


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "put": Putting,
    "replace": Replacing,
    "delete": Deleting,
    "continue": Continuing,
    "expire": Expiring,
    "sweep": Sweeping,
}
PLANTED = {"unsafe": Unsafe}
"""What does not hold, so that it is seen that this is found."""


@dataclass(slots=True)
class Met:
    """What became of the runs of a scenario."""

    runs: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def fault_at(number: int, fault: Fault) -> Iterator[Callable[[], int]]:
    """At the call of this number, from 1; 0: never. Gives how many calls there were."""
    calls = 0
    originals = {name: getattr(os, name) for name in CALLS}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            if name == "open" and not arguments[1] & os.O_CREAT:
                return originals[name](*arguments, **named)
            calls += 1
            if number and calls >= number:
                _meet(fault, name, arguments, is_first=calls == number)
            return originals[name](*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, wrapped(name))
    try:
        yield lambda: calls
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def _meet(fault: Fault, name: str, arguments: tuple[Any, ...], *, is_first: bool) -> None:
    if fault == "full" and name in GROWING:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not is_first or fault == "full":
        return
    if fault == "broken":
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    if fault == "torn":
        if name != "write":
            return
        content = memoryview(arguments[1])
        os.writev(arguments[0], [content[: len(content) // 2]])
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(work: Callable[[], None]) -> int:
    """How it ended: one of DONE, REFUSED and WRONG, or less than 0 when it was killed. This process
    may have no other threads."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ended = WRONG
    try:
        work()
        ended = DONE
    except (RepositoryFull, RepositoryUnavailable):
        ended = REFUSED
    except BaseException:  # noqa: BLE001 - told in full, and the parent counts it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(ended)


def met_by(scenario: Scenario, folder: Path, *, share: float, rng: random.Random) -> Met:
    """Every step of a scenario with every fault, or a share of them."""
    met = Met()
    before, whole = folder / "before", folder / "whole"
    before.mkdir(parents=True)
    scenario.prepare(before)
    shutil.copytree(before, whole)
    with fault_at(0, "kill") as counted:
        scenario.run(whole)
        met.steps = counted()
    scenario.check(whole)
    outcome = scenario.outcome(whole)
    for number in range(1, met.steps + 1):
        for fault in FAULTS:
            if rng.random() < share:
                place = folder / f"{number}-{fault}"
                shutil.copytree(before, place)
                what = f"{type(scenario).__name__}, {fault} at step {number}"
                ended = in_a_process(lambda: _interrupted(scenario, place, number, fault))  # noqa: B023
                met.runs[fault] += 1
                if fault == "full" and list(place.rglob("*.part")):
                    met.wrong.append(f"{what}: a temporary file was left on the full disk")
                if wrong := wrong_after(scenario, place, ended, outcome):
                    met.wrong.append(f"{what} (ended with {ended}): {wrong}")
                shutil.rmtree(place)
    return met


def _interrupted(scenario: Scenario, place: Path, number: int, fault: Fault) -> None:
    with fault_at(number, fault):
        scenario.run(place)


def wrong_after(scenario: Scenario, place: Path, ended: int, outcome: Any) -> str | None:
    """What is wrong with what a fault left, or with what a second run makes of it."""
    if ended == WRONG:
        return "another error than a refusal"
    try:
        scenario.check(place)
        scenario.run(place)
        scenario.check(place)
        assert scenario.outcome(place) == outcome, "a second run comes to something else"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return f"{type(error).__name__}: {error}"[:1_000]
    return None
