"""Names that stand in logs and in other people's programs: they never change and never go."""

from domain import errors
from domain.catalogue import EVENTS

SHIPPED_TOPICS = [
    "task.submitted",
    "task.approved",
    "task.rejected",
    "task.queued",
    "task.assigned",
    "task.started",
    "task.progressed",
    "task.completed",
    "task.attempt_failed",
    "task.lease_expired",
    "task.released",
    "task.failed",
    "task.cancelled",
    "task.retried",
    "task.report_refused",
    "agent.registered",
    "agent.changed",
    "agent.came_online",
    "agent.went_offline",
    "agent.drained",
    "agent.resumed",
    "agent.retired",
    "agent.reinstated",
    "audit.opened",
    "audit.commanded",
    "audit.read",
    "audit.refused",
    "audit.refusals_counted",
    "subject.erased",
    "archive.started",
    "archive.found",
    "archive.stored",
    "archive.verified",
    "archive.failed",
    "archive.drilled",
    "archive.expired",
    "store.restored",
]

SHIPPED_CODES = [
    "refused",
    "not_found",
    "conflict",
    "invalid",
    "forbidden",
    "unavailable",
    "version_mismatch",
    "concurrent_change",
    "idempotency_key_reused",
    "task_not_assignable",
    "task_not_awaiting_approval",
    "task_not_failed",
    "task_not_due",
    "stale_attempt",
    "deadline_passed",
    "too_deep",
    "agent_exists",
    "agent_retired",
    "archive_not_ready",
    "epoch_ended",
    "read_model_behind",
    "database_unavailable",
    "on_standby",
    "read_model_not_found",
    "already_rebuilding",
]


def test_no_topic_that_was_shipped_is_renamed_or_removed() -> None:
    assert list(EVENTS) == SHIPPED_TOPICS, "add new topics to the list; never change it otherwise"


def test_a_topic_is_its_aggregate_and_what_happened() -> None:
    for topic, event in EVENTS.items():
        aggregate, _, words = topic.partition(".")
        name = "".join(word.capitalize() for word in words.split("_"))
        assert event.__qualname__ == f"{aggregate.capitalize()}.{name}"


def test_no_code_of_a_refusal_that_was_shipped_is_renamed_or_removed() -> None:
    codes = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ControlPlaneError)
    }

    assert codes == set(SHIPPED_CODES), "add new codes to the list; never change it otherwise"
