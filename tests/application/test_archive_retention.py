"""Which archives stay, and why."""

from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from application.archives.retention import (
    STATE_AGE_MAX,
    Candidate,
    Rules,
    Status,
    Verdict,
    judge,
    may_be_missing,
)
from tests.given import MINUTE, NOON

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOTHING = Rules(last=0, daily=0, weekly=0, monthly=0, age_min=timedelta(0))


def an_archive(
    number: int,
    taken_at: datetime,
    *,
    status: Status | None = "verified",
    epoch: int = 1,
    continues: int | None = None,
    is_drilled: bool = False,
) -> Candidate:
    return Candidate(
        archive_id=UUID(int=number),
        name=f"manifests/{number}",
        epoch=epoch,
        taken_at=taken_at,
        continues=None if continues is None else f"manifests/{continues}",
        status=status,
        is_drilled=is_drilled,
    )


def rules(**changes: int | timedelta) -> Rules:
    return Rules(**{**{name: getattr(NOTHING, name) for name in Rules.__slots__}, **changes})


def staying(verdicts: list[Verdict]) -> list[int]:
    """The numbers of those that stay, newest first."""
    return [verdict.candidate.archive_id.int for verdict in verdicts if verdict.stays]


def reasons_of(number: int, verdicts: list[Verdict]) -> tuple[str, ...]:
    return next(v.reasons for v in verdicts if v.candidate.archive_id.int == number)


def test_nothing_is_judged_where_there_is_nothing() -> None:
    assert judge([], NOTHING, now=NOON) == []


def test_the_last_ones_stay() -> None:
    archives = [an_archive(n, NOON + n * MINUTE) for n in range(1, 11)]

    verdicts = judge(archives, rules(last=3), now=NOON + DAY)

    assert staying(verdicts) == [10, 9, 8]
    assert reasons_of(9, verdicts) == ("one of the last 3",)
    assert reasons_of(7, verdicts) == ()


def test_of_each_day_the_newest_stays() -> None:
    archives = [an_archive(n, NOON + n * 8 * HOUR) for n in range(1, 16)]

    verdicts = judge(archives, rules(daily=3), now=NOON + 30 * DAY)

    assert staying(verdicts) == [15, 13, 10]
    assert reasons_of(10, verdicts) == ("daily 2026-11-26",)


def test_a_pause_costs_no_day() -> None:
    archives = [an_archive(n, NOON + n * DAY) for n in (1, 2, 3, 300)]

    verdicts = judge(archives, rules(daily=3), now=NOON + 301 * DAY)

    assert staying(verdicts) == [300, 3, 2]


def test_of_each_week_and_month_the_newest_stays() -> None:
    archives = [an_archive(n, NOON + n * DAY) for n in range(60)]

    verdicts = judge(archives, rules(weekly=2, monthly=3), now=NOON + 60 * DAY)

    assert staying(verdicts) == [59, 55, 38, 7]
    assert reasons_of(59, verdicts)[:2] == ("weekly 2027-W03", "monthly 2027-01")
    assert reasons_of(38, verdicts) == ("monthly 2026-12",)
    assert reasons_of(7, verdicts) == ("monthly 2026-11",)


def test_the_young_stay() -> None:
    archives = [an_archive(n, NOON + n * HOUR) for n in range(1, 11)]

    verdicts = judge(archives, rules(age_min=3 * HOUR), now=NOON + 10 * HOUR)

    assert staying(verdicts) == [10, 9, 8]
    assert reasons_of(8, verdicts) == ("younger than 0.125 days",)


def test_the_newest_verified_and_the_newest_drilled_stay_whatever_the_rules() -> None:
    archives = [
        an_archive(1, NOON, is_drilled=True),
        an_archive(2, NOON + HOUR, is_drilled=True),
        an_archive(3, NOON + 2 * HOUR),
        an_archive(4, NOON + 3 * HOUR, status="stored"),
        an_archive(5, NOON + 4 * HOUR, status="failed", is_drilled=True),
    ]

    verdicts = judge(archives, NOTHING, now=NOON + DAY)

    assert staying(verdicts) == [4, 3, 2]
    assert reasons_of(3, verdicts) == ("the newest verified",)
    assert reasons_of(2, verdicts) == ("the newest drilled",)


def test_what_failed_takes_no_place_of_what_did_not() -> None:
    archives = [an_archive(n, NOON + n * MINUTE, status="failed") for n in range(5, 10)]
    archives += [an_archive(n, NOON + n * MINUTE) for n in range(5)]

    verdicts = judge(archives, rules(last=2, daily=1), now=NOON + DAY)

    assert staying(verdicts) == [4, 3]


def test_of_a_day_a_verified_one_stands_rather_than_a_newer_one() -> None:
    archives = [an_archive(1, NOON), an_archive(2, NOON + HOUR, status="stored")]
    archives.append(an_archive(3, NOON + DAY))

    verdicts = judge(archives, rules(daily=2), now=NOON + 2 * DAY)

    assert staying(verdicts) == [3, 1]


def test_what_was_taken_before_a_restore_stays_by_its_newest() -> None:
    archives = [an_archive(n, NOON + n * HOUR, epoch=1) for n in range(3)]
    archives += [an_archive(n, NOON + n * HOUR, epoch=2, status=None) for n in range(3, 6)]
    archives += [an_archive(n, NOON + n * HOUR, epoch=3) for n in range(6, 9)]

    verdicts = judge(archives, rules(last=1), now=NOON + DAY)

    assert staying(verdicts) == [8, 5, 2]
    assert reasons_of(5, verdicts) == ("the newest of epoch 2",)


def test_what_one_that_stays_goes_on_from_stays() -> None:
    archives = [an_archive(1, NOON)]
    archives += [an_archive(n, NOON + n * MINUTE, continues=n - 1) for n in range(2, 8)]
    archives += [an_archive(n, NOON + n * MINUTE, continues=4) for n in range(8, 10)]

    verdicts = judge(archives, rules(last=1), now=NOON + DAY)

    assert staying(verdicts) == [9, 4, 3, 2, 1]
    assert reasons_of(4, verdicts) == (f"archive {UUID(int=9)} goes on from it",)


@pytest.mark.parametrize("now", [NOON - 400 * DAY, NOON, NOON + 4_000 * DAY])
def test_a_wrong_clock_costs_no_more_than_the_young(now: datetime) -> None:
    archives = [an_archive(n, NOON + n * HOUR) for n in range(48)]

    verdicts = judge(archives, rules(last=2, daily=2, age_min=DAY), now=now)

    assert {47, 46, 35} <= set(staying(verdicts))


def test_whatever_the_history_and_the_rules_what_must_stay_does(rng: Random) -> None:
    for _ in range(300):
        archives = a_random_past(rng)
        some = Rules(
            last=rng.randrange(4),
            daily=rng.randrange(4),
            weekly=rng.randrange(3),
            monthly=rng.randrange(3),
            age_min=rng.random() * DAY,
        )

        verdicts = judge(archives, some, now=NOON + 90 * DAY)

        kept = {v.candidate.name: v.candidate for v in verdicts if v.stays}
        assert len(verdicts) == len(archives)
        assert all(one.continues in kept for one in kept.values() if one.continues)
        good = [one for one in archives if one.status != "failed"]
        for must in (
            max(good, key=order, default=None),
            max((one for one in archives if one.status == "verified"), key=order, default=None),
            max((one for one in good if one.is_drilled), key=order, default=None),
        ):
            assert must is None or must.name in kept
        assert len(kept) >= min(some.last, len(good))
        again = judge(kept.values(), some, now=NOON + 90 * DAY)
        assert {v.candidate.name for v in again if v.stays} == set(kept), "a second run changes it"


def order(one: Candidate) -> tuple[int, datetime, str]:
    return one.epoch, one.taken_at, one.name


def a_random_past(rng: Random) -> list[Candidate]:
    archives: list[Candidate] = []
    at, epoch = NOON, 1
    statuses: list[Status | None] = ["verified", "verified", "stored", "failed", None]
    for number in range(rng.randrange(40)):
        at += rng.random() * rng.choice([HOUR, DAY, 10 * DAY])
        epoch += rng.random() < 0.05
        archives.append(
            an_archive(
                100 + number,
                at,
                status=rng.choice(statuses),
                epoch=epoch,
                continues=99 + number if number and rng.random() < 0.7 else None,
                is_drilled=rng.random() < 0.2,
            )
        )
    return archives


def test_state_may_go_where_it_is_old_and_others_have_newer() -> None:
    old, young = NOON - STATE_AGE_MAX - MINUTE, NOON - STATE_AGE_MAX + MINUTE

    assert may_be_missing("subject_keys", old, newer_archives=3, now=NOON)
    assert not may_be_missing("subject_keys", old, newer_archives=2, now=NOON)
    assert not may_be_missing("subject_keys", young, newer_archives=3, now=NOON)
    assert not may_be_missing("events", old, newer_archives=3, now=NOON)
    assert not may_be_missing("seal_keys", old, newer_archives=3, now=NOON)
