"""Backups: taken, proved, restored."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from musterroll._request import Pages, Request, Steps, at, command, given, of, query, receipt
from musterroll._routes._lists import listing
from musterroll.errors import TimedOut
from musterroll.models import Backup, BackupJob, Receipt, Restore, Store

POLL_SECONDS_MAX = 30

T = TypeVar("T", Backup, BackupJob)
A = TypeVar("A")


def create(
    type: str = "incremental",  # noqa: A002  the contract's word for it
    *,
    idempotency_key: str | None = None,
) -> Request[Receipt]:
    """Have a backup taken: `full`, `incremental` (of what is in none yet) or `synthetic` (as full,
    made of what the others wrote). The first one of an epoch is always full.

    Raises Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return command("/v1/backups", receipt, {"type": type}, idempotency_key=idempotency_key)


def list_(*, status: str | None = None, limit: int | None = None) -> Pages[Backup]:
    """Backups, newest first: those that are `running`, `stored`, `verified`, `failed` or
    `expired`, or all. `limit` is how many in all; None: every one.

    Raises Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return listing("/v1/backups", Backup, limit, status=status)


def get(backup_id: str) -> Request[Backup]:
    """A backup, or how far it is. Raises NotFound, Unauthorized, Forbidden or Unavailable."""
    return query(at("backups", backup_id), of(Backup))


def wait(backup_id: str, *, timeout_seconds: float | None = None) -> Steps[Backup]:
    """Wait until a backup is verified, has failed or has expired. None: for ever.

    Raises TimedOut when it is not, by then; NotFound, Unauthorized, Forbidden or Unavailable.
    """
    path = at("backups", backup_id)
    return (yield from _wait(path, Backup, f"backup {backup_id}", timeout_seconds))


def verify(
    backup_id: str, *, level: int | None = None, idempotency_key: str | None = None
) -> Request[BackupJob]:
    """Read a backup back as if a stranger had written it; `level` 0 to 3, by default 2.

    Raises NotFound, Conflict (one job at a time; one that failed or expired), Invalid,
    Unauthorized, Forbidden or Unavailable; `job` tells what came of it.
    """
    path = at("backups", backup_id, "verify")
    return command(path, of(BackupJob), given(level=level), idempotency_key=idempotency_key)


def drill(backup_id: str, *, idempotency_key: str | None = None) -> Request[BackupJob]:
    """Restore a backup into a database of its own, compare it with what is shown, and drop it.

    Raises as `verify` does.
    """
    path = at("backups", backup_id, "drill")
    return command(path, of(BackupJob), idempotency_key=idempotency_key)


def plan_restore(
    backup_id: str,
    *,
    to_position: int | None = None,
    to_time: datetime | str | None = None,
    idempotency_key: str | None = None,
) -> Request[Restore]:
    """What `restore` would do: how much, into where, what would be lost, how long. Nothing happens.

    Raises Invalid for an end that the backup does not hold; NotFound, Conflict (a backup that
    failed or expired), Unauthorized, Forbidden or Unavailable.
    """
    body = {**_end(to_position, to_time), "dry_run": True}
    path = at("backups", backup_id, "restore")
    return command(path, of(Restore), body, idempotency_key=idempotency_key)


def restore(
    backup_id: str,
    *,
    to_position: int | None = None,
    to_time: datetime | str | None = None,
    if_epoch: int | None = None,
    idempotency_key: str | None = None,
) -> Request[Restore]:
    """Make a store of a backup, up to a position, a time, or its end, and put it in the place of
    the one that serves: a new epoch begins, and what is newer is lost but for `undo_restore`.

    Give the epoch that you have seen (`store().epoch`): in another one it is refused. Without it
    the request is not repeated by itself, as it would restore anew. Raises as `plan_restore` does,
    and Conflict while there is another job.
    """
    asked = command(
        at("backups", backup_id, "restore"),
        of(Restore),
        _end(to_position, to_time),
        if_version=if_epoch,
        idempotency_key=idempotency_key,
    )
    return _once(asked, if_epoch)


def undo_restore(
    *, if_epoch: int | None = None, idempotency_key: str | None = None
) -> Request[BackupJob]:
    """Put back the store that the last restore put aside, in an epoch of its own.

    `if_epoch` as for `restore`. Raises Conflict when there is nothing to undo, or another job;
    Unauthorized, Forbidden or Unavailable.
    """
    asked = command(
        "/v1/backups/undo-restore",
        of(BackupJob),
        if_version=if_epoch,
        idempotency_key=idempotency_key,
    )
    return _once(asked, if_epoch)


def expire(*, dry_run: bool = False, idempotency_key: str | None = None) -> Request[BackupJob]:
    """Let backups go that need not be kept; `dry_run`: only find out which, and why.

    Raises Conflict while there is another job; Unauthorized, Forbidden or Unavailable.
    """
    body = {"dry_run": dry_run}
    return command("/v1/backups/expire", of(BackupJob), body, idempotency_key=idempotency_key)


def job(job_id: str) -> Request[BackupJob]:
    """How a job fares. Only the process that was asked for it knows it, until it ends.

    Raises NotFound, Unauthorized, Forbidden or Unavailable.
    """
    return query(at("backups", "jobs", job_id), of(BackupJob))


def wait_job(job_id: str, *, timeout_seconds: float | None = None) -> Steps[BackupJob]:
    """Wait until a job is done or has failed. None: for ever. Not for a restore, which ends the
    process that knows the job: look at `store().epoch`.

    Raises TimedOut when it has not, by then; NotFound, Unauthorized, Forbidden or Unavailable.
    """
    path = at("backups", "jobs", job_id)
    return (yield from _wait(path, BackupJob, f"job {job_id}", timeout_seconds))


def store() -> Request[Store]:
    """Which store serves, in which epoch, and what restores put aside.

    Raises Unauthorized, Forbidden or Unavailable.
    """
    return query("/v1/store", of(Store))


def _wait(path: str, model: type[T], name: str, timeout_seconds: float | None) -> Steps[T]:
    deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    parse: Callable[[Any], T] = of(model)
    found: T = yield query(path, parse)
    while not found.finished:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{name} has not ended after {timeout_seconds} s", code="timed_out")
        seconds = min(left, POLL_SECONDS_MAX)
        found = yield query(path, parse, wait_seconds=seconds, wait=round(seconds, 3))
    return found


def _end(to_position: int | None, to_time: datetime | str | None) -> dict[str, Any]:
    return given(to_position=to_position, to_time=to_time)


def _once(asked: Request[A], if_epoch: int | None) -> Request[A]:
    """What changes the epoch is repeated where a repetition in the next one is refused."""
    return asked if if_epoch is not None else replace(asked, retry_seconds=0.0)
