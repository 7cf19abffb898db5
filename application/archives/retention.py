"""Which archives stay, and why: a pure function of what there is and what the log knows of it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal
from uuid import UUID

from application.archives.format import Content

Status = Literal["running", "stored", "verified", "failed"]

STATE: frozenset[Content] = frozenset({"accounts", "webhooks", "webhook_letters", "subject_keys"})
"""What is no history and may be personal: it does not stay as long as the history beside it."""
STATE_AGE_MAX = timedelta(days=30)
STATE_ARCHIVES_MIN = 3
"""The newest archives keep theirs, however old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How many of the newest archives stay; of how many days, weeks and months the newest; and up
    to which age all of them."""

    last: int
    daily: int
    weekly: int
    monthly: int
    age_min: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An archive of which it is asked whether it stays.

    `continues` is the name of the manifest that it goes on from. `status` is None where the log
    knows nothing of it: a restore went back before it.
    """

    archive_id: UUID
    name: str
    epoch: int
    taken_at: datetime
    continues: str | None
    status: Status | None
    is_drilled: bool

    @property
    def is_good(self) -> bool:
        """As far as is known. One that failed takes no place of one that did not."""
        return self.status != "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an archive stays; `reasons` are why it does, empty when nothing keeps it."""

    candidate: Candidate
    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        """If there is any reason."""
        return bool(self.reasons)


def judge(candidates: Iterable[Candidate], rules: Rules, *, now: datetime) -> list[Verdict]:
    """A verdict on each, newest first.

    Days, weeks and months are those of UTC in which there are archives, so that a pause or a wrong
    clock costs none. Of each the newest verified one stays, else the newest that did not fail.
    Beyond the rules stay the newest drilled one, the newest verified one, the newest of each epoch
    (what a restore cut off is in no other), and whatever one that stays goes on from.
    """
    newest_first = sorted(candidates, key=lambda c: (c.epoch, c.taken_at, c.name), reverse=True)
    good = [one for one in newest_first if one.is_good]
    reasons: dict[str, list[str]] = {one.name: [] for one in newest_first}
    for one in good[: rules.last]:
        reasons[one.name].append(f"one of the last {rules.last}")
    for word, count, period in (
        ("daily", rules.daily, _day),
        ("weekly", rules.weekly, _week),
        ("monthly", rules.monthly, _month),
    ):
        for when, one in _newest_of_periods(good, period)[:count]:
            reasons[one.name].append(f"{word} {when}")
    for one in newest_first:
        if now - one.taken_at < rules.age_min:
            reasons[one.name].append(f"younger than {_in_words(rules.age_min)}")
    for why, found in _always(newest_first):
        reasons[found.name].append(why)
    _keep_chains(newest_first, reasons)
    return [Verdict(one, tuple(reasons[one.name])) for one in newest_first]


def may_be_missing(
    content: Content, taken_at: datetime, *, newer_archives: int, now: datetime
) -> bool:
    """Whether a file may have gone from an archive that stays: it holds no history, is older than
    30 days, and at least three newer archives have theirs."""
    is_old = now - taken_at > STATE_AGE_MAX
    return content in STATE and is_old and newer_archives >= STATE_ARCHIVES_MIN


def _always(newest_first: Sequence[Candidate]) -> list[tuple[str, Candidate]]:
    verified = [one for one in newest_first if one.status == "verified"]
    drilled = [one for one in newest_first if one.is_drilled and one.is_good]
    found = [("the newest verified", one) for one in verified[:1]]
    found += [("the newest drilled", one) for one in drilled[:1]]
    for epoch, group in groupby(newest_first, key=lambda one: one.epoch):
        of_epoch = list(group)
        newest = next((one for one in of_epoch if one.is_good), of_epoch[0])
        found.append((f"the newest of epoch {epoch}", newest))
    return found


def _newest_of_periods(
    newest_first: Collection[Candidate], period: Callable[[datetime], str]
) -> list[tuple[str, Candidate]]:
    """For each period with archives, newest period first, the one that stands for it."""
    by_time = sorted(newest_first, key=lambda one: (one.taken_at, one.name), reverse=True)
    found = []
    for when, group in groupby(by_time, key=lambda one: period(one.taken_at.astimezone(UTC))):
        of_period = list(group)
        verified = (one for one in of_period if one.status == "verified")
        found.append((when, next(verified, of_period[0])))
    return found


def _keep_chains(newest_first: Sequence[Candidate], reasons: dict[str, list[str]]) -> None:
    """Give what would go a reason, where something that stays goes on from it."""
    by_name = {one.name: one for one in newest_first}
    staying = [one for one in newest_first if reasons[one.name]]
    while staying:
        one = staying.pop()
        before = by_name.get(one.continues or "")
        if before is not None and not reasons[before.name]:
            reasons[before.name].append(f"archive {one.archive_id} goes on from it")
            staying.append(before)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02}"


def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"


def _in_words(age: timedelta) -> str:
    days = age / timedelta(days=1)
    return f"{days:g} day" if days == 1 else f"{days:g} days"
