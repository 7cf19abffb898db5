"""Back-off, leases, capabilities, and the catalogue of what may stand in the log."""

from datetime import timedelta

import pytest
from hypothesis import given, strategies

from domain.agent import Agent
from domain.archive import Archive
from domain.audit_trail import Audit
from domain.capability import can_do
from domain.catalogue import AGGREGATES, EVENTS, aggregate_of
from domain.lease import Lease
from domain.restoration import Store
from domain.retry import BACKOFF_FIRST, BACKOFF_MAX, backoff
from domain.subject import Subject
from domain.task import Task
from tests.given import ALICE, MINUTE, NOON, SECOND
from tests.randomly import repeatably


def test_the_wait_doubles_up_to_five_minutes() -> None:
    waits = [backoff(failures, jitter=0.0).total_seconds() for failures in range(1, 12)]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@repeatably
@given(strategies.integers(1, 10**9), strategies.floats(0, 1))
def test_jitter_takes_at_most_half_of_the_wait_away(failures: int, jitter: float) -> None:
    full = backoff(failures, jitter=0.0)

    wait = backoff(failures, jitter=jitter)

    assert full / 2 <= wait <= full <= BACKOFF_MAX
    assert wait >= BACKOFF_FIRST / 2


def a_lease() -> Lease:
    return Lease(task_id=ALICE, attempt=3, agent_id=ALICE, expires_at=NOON + MINUTE)


def test_a_lease_is_over_at_its_expiry_and_not_before() -> None:
    lease = a_lease()

    assert not lease.expired(NOON + MINUTE - timedelta(microseconds=1))
    assert lease.expired(NOON + MINUTE)


def test_a_renewed_lease_lasts_one_term_from_now_for_the_same_attempt() -> None:
    lease = a_lease().renewed(NOON + SECOND, MINUTE)

    assert lease.expires_at == NOON + SECOND + MINUTE
    assert (lease.task_id, lease.attempt, lease.agent_id) == (ALICE, 3, ALICE)


def test_a_renewal_never_shortens_a_lease() -> None:
    assert a_lease().renewed(NOON, SECOND).expires_at == NOON + MINUTE


@pytest.mark.parametrize(
    ("capabilities", "requires", "meets"),
    [
        (("review", "write"), ("review",), True),
        (("review",), ("review", "write"), False),
        (("review",), (), True),
        ((), ("review",), False),
        (("Review",), ("review",), False),
        (("review",), ("review", "review"), True),
    ],
)
def test_an_agent_can_do_what_meets_every_requirement(
    capabilities: tuple[str, ...], requires: tuple[str, ...], meets: bool
) -> None:
    assert can_do(capabilities, requires) is meets


def test_the_catalogue_knows_every_event_under_its_topic_and_its_aggregate() -> None:
    assert {
        "task": Task,
        "agent": Agent,
        "audit": Audit,
        "subject": Subject,
        "archive": Archive,
        "store": Store,
    } == AGGREGATES
    for topic, event in EVENTS.items():
        assert topic == event.TOPIC
        assert issubclass(event, aggregate_of(topic).Event)
        assert event.__qualname__.startswith(aggregate_of(topic).__name__ + ".")


def test_no_event_class_of_an_aggregate_is_missing_from_the_catalogue() -> None:
    for aggregate in AGGREGATES.values():
        classes = {
            value
            for name, value in vars(aggregate).items()
            if isinstance(value, type) and issubclass(value, aggregate.Event) and name != "Event"
        }
        assert classes <= set(EVENTS.values())


def test_an_aggregate_of_a_foreign_topic_is_not_found() -> None:
    with pytest.raises(KeyError):
        aggregate_of("os:system")
