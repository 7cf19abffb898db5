"""Kills and full disks at every step of a restore, of undoing one, and of a drill.

A step is a statement, or a part of a COPY, that the job hands to PostgreSQL. Afterwards the store
that serves is the one from before, or the new one where the switch went through; once everybody has
gone out of the database and there is room, the same job comes to what a run without faults comes
to, and leaves nothing but that.
"""

import json
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg

from infrastructure.archives.next_store import NEXT
from interfaces.bootstrap.archivist import outcome_of
from tests.conftest import Database
from tests.faults.archive_interruptions import DONE, REFUSED, WRONG, Met
from tests.faults.restore_stand import SmallDisk, Stand, Store, Wanted, schemas_in, store_in

Fault = Literal["kill", "full"]
FAULTS: tuple[Fault, ...] = ("kill", "full")
"""Killed before the step; no room for any row from then on."""
RESTORES = ("restore", "drill", "undo")
REFUSALS = frozenset({"database_unavailable", "disk_full", "migration_failed"})
"""How a job may end on a full disk."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job's process ended, and what it told: the steps, with a result or a failure."""

    code: int
    told: dict[str, Any]

    @property
    def failure(self) -> str | None:
        """Its code, where it told one."""
        failure = self.told.get("failure")
        return failure and str(failure["code"])


class Quiet:
    """Nobody listens to progress."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """As the archivist's teller."""


def met_by_job(stand: Stand, wanted: Wanted, *, share: float, rng: random.Random) -> Met:
    """Every step of a job with every fault, or a share of them."""
    met = Met()
    with stand.copy_of(wanted.template) as database:
        before, schemas = store_in(database), schemas_in(database)
        whole = run_job(stand, wanted, database, 0, "kill")
        assert whole.code == DONE, whole
        after = Expected(before, store_in(database), schemas, schemas_in(database))
        met.steps = whole.told["steps"]
        assert wrong_in(stand, database, after, is_over=True) is None
    for number in range(1, met.steps + 1):
        for fault in FAULTS:
            if rng.random() < share:
                met.runs[fault] += 1
                with stand.copy_of(wanted.template) as database:
                    ended = run_job(stand, wanted, database, number, fault)
                    found = wrong_after(stand, wanted, database, ended, after)
                if ended.failure:
                    met.runs[f"{fault}: {ended.failure}"] += 1
                if found:
                    what = f"{wanted.kind}, {fault} at step {number}"
                    met.wrong.append(f"{what} ({ended}): {found}"[:2_000])
    return met


@dataclass(frozen=True, slots=True)
class Expected:
    """The store that serves, and all schemas, before a job and after it."""

    before: Store
    after: Store
    schemas_before: set[str]
    schemas_after: set[str]


def wrong_after(
    stand: Stand, wanted: Wanted, database: Database, ended: Ended, expected: Expected
) -> str | None:
    """What is wrong with what a fault left, or with what a second run makes of it."""
    if ended.code == WRONG or (ended.failure and ended.failure not in REFUSALS):
        return "another error than a refusal"
    if not stand.left_alone(database.name):
        return "somebody stays in the database"
    if wrong := wrong_in(stand, database, expected, is_over=False):
        return wrong
    stand.disk.empty()
    switched = store_in(database).epoch != expected.before.epoch
    again = run_job(stand, wanted, database, 0, "kill")
    if again.code != DONE and not (switched and again.failure == "epoch_ended"):
        return f"a second run: {again}"
    if not stand.left_alone(database.name):
        return "somebody stays in the database after a second run"
    return wrong_in(stand, database, expected, is_over=True)


def wrong_in(stand: Stand, database: Database, expected: Expected, *, is_over: bool) -> str | None:
    """What may not be so; in the end less than when something was cut off."""
    found, schemas = store_in(database), schemas_in(database)
    if found.epoch == expected.after.epoch:
        store, wanted = expected.after, expected.schemas_after
    else:
        store, wanted = expected.before, expected.schemas_before
    if found != store:
        return f"the store is {found} and not {store}"
    if is_over and found != expected.after:
        return "nothing was done"
    if schemas - wanted - (set() if is_over else {NEXT}) or wanted - schemas:
        return f"there are the schemas {schemas}"
    if is_over and (left := stand.drills()):
        return f"there are the databases {left}"
    return None


def run_job(stand: Stand, wanted: Wanted, database: Database, number: int, fault: Fault) -> Ended:
    """In a process of its own, which meets the fault at its n-th step; 0: at none."""
    told = stand.folder / "told.json"
    told.unlink(missing_ok=True)
    urls = {"database_url": database.url, "owner_url": database.owner_url}
    job = (wanted.kind, wanted.request, {**wanted.settings, **urls})
    # Forked off a server without threads, which has imported everything already.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(job, number, fault, told, stand.disk.folder))
    process.start()
    process.join()
    assert process.exitcode is not None
    return Ended(process.exitcode, json.loads(told.read_text()) if told.exists() else {})


def _run(job: tuple[str, Any, Any], number: int, fault: Fault, told: Path, disk: Path) -> None:
    def meet() -> None:
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        SmallDisk(disk).fill()

    with fault_at_step(number, meet) as counted:
        outcome = outcome_of(*job, Quiet())  # type: ignore[arg-type]
        told.write_text(json.dumps({**outcome, "steps": counted()}, default=str))
    # As the program of the archivist ends: nothing that still waits is waited for.
    failed = outcome.get("failure")
    os._exit(DONE if failed is None else WRONG if failed["code"] == "job_failed" else REFUSED)


@contextmanager
def fault_at_step(number: int, meet: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """At the step of this number, from 1; 0: never. Gives how many steps there were."""
    steps, counting = 0, threading.Lock()
    execute, write = psycopg.Cursor.execute, psycopg.Copy.write

    def count() -> None:
        nonlocal steps
        with counting:
            steps += 1
            if steps == number:
                meet()

    def executed(*arguments: Any, **options: Any) -> Any:
        count()
        return execute(*arguments, **options)

    def written(*arguments: Any) -> None:
        count()
        write(*arguments)

    psycopg.Cursor.execute, psycopg.Copy.write = executed, written  # type: ignore[method-assign, assignment]
    try:
        yield lambda: steps
    finally:
        psycopg.Cursor.execute, psycopg.Copy.write = execute, write  # type: ignore[method-assign]
