"""The audit trail takes in whatever happened, and remembers nothing of it."""

from uuid import UUID

import pytest

from domain.audit_trail import Asked, Audit
from tests.given import MINUTE, NOON

TRAIL = UUID("019aaf00-0000-7000-8000-0000000000ad")
ASKED = Asked(
    address="192.0.2.7",
    method="POST",
    route="/v1/agents/{agent_id}/drain",
    about={"agent_id": "a"},
    request_id="r",
)


@pytest.fixture
def trail() -> Audit:
    trail = Audit.open(TRAIL, tenant="acme", now=NOON)
    trail.take_events()
    return trail


def test_a_trail_begins_with_whose_it_is() -> None:
    (opened,) = Audit.open(TRAIL, tenant="acme", now=NOON).take_events()

    assert isinstance(opened, Audit.Opened)
    assert (opened.tenant, opened.originator_id, opened.timestamp) == ("acme", TRAIL, NOON)


def test_a_command_is_recorded_with_its_answer(trail: Audit) -> None:
    trail.record_command(ASKED, status=409, code="agent_retired", now=NOON)

    (event,) = trail.take_events()
    assert isinstance(event, Audit.Commanded)
    assert (event.route, event.about, event.status) == (ASKED.route, {"agent_id": "a"}, 409)
    assert (event.code, event.address, event.request_id) == ("agent_retired", "192.0.2.7", "r")


def test_a_read_and_a_refusal_are_recorded_as_they_were_asked(trail: Audit) -> None:
    trail.record_read(ASKED, now=NOON)
    trail.record_refusal(ASKED, status=403, code="insufficient_scope", now=NOON)

    read, refused = trail.take_events()
    assert isinstance(read, Audit.Read)
    assert isinstance(refused, Audit.Refused)
    assert read.method == refused.method == "POST"
    assert (refused.status, refused.code) == (403, "insufficient_scope")


def test_refusals_may_be_counted(trail: Audit) -> None:
    trail.count_refusals("192.0.2.7", 4_200, since=NOON, until=NOON + MINUTE, now=NOON + MINUTE)

    (event,) = trail.take_events()
    assert isinstance(event, Audit.RefusalsCounted)
    assert (event.count, event.until - event.since) == (4_200, MINUTE)


def test_nothing_is_remembered_but_whose_it_is(trail: Audit) -> None:
    before = {name: value for name, value in vars(trail).items() if name == "tenant"}

    trail.record_read(ASKED, now=NOON)

    assert trail.version == 2
    own = {name for name in vars(trail) if not name.startswith("_")}
    assert {name: getattr(trail, name) for name in own} == before == {"tenant": "acme"}
