"""What an agent may become, and what is refused."""

from typing import Any

import pytest

from domain.agent import Agent, Standing, agent_id_of
from domain.errors import AgentExists, AgentRetired
from tests.given import MINUTE, NOON, TENANT

LATER = NOON + MINUTE


def an_agent(*steps: str, **changes: Any) -> Agent:
    """An agent that was registered at noon and then went through these steps."""
    agent = Agent.register(
        agent_id_of(TENANT, "reviewer"),
        tenant=TENANT,
        name="reviewer",
        capabilities=changes.get("capabilities", ("review",)),
        slots=changes.get("slots", 2),
        labels=changes.get("labels", {}),
        now=NOON,
    )
    for step in steps:
        getattr(agent, step)(now=NOON)
    agent.take_events()
    return agent


def recorded(agent: Agent) -> list[Any]:
    return list(agent.take_events())


def test_a_registered_agent_is_active_and_not_yet_heard_of() -> None:
    agent = Agent.register(
        agent_id_of(TENANT, "a"),
        tenant=TENANT,
        name="a",
        capabilities=("review",),
        slots=2,
        labels={"zone": "b"},
        now=NOON,
    )

    (event,) = recorded(agent)
    assert isinstance(event, Agent.Registered)
    assert (event.name, event.capabilities, event.slots) == ("a", ("review",), 2)
    assert (agent.standing, agent.online) == (Standing.ACTIVE, False)
    assert agent.correlation_id == agent.id


def test_the_same_name_in_the_same_tenant_is_the_same_agent_for_ever() -> None:
    assert agent_id_of("t", "a") == agent_id_of("t", "a")
    assert len({agent_id_of(tenant, name) for tenant in "tu" for name in "ab"}) == 4


def test_an_agent_comes_online_once() -> None:
    agent = an_agent()

    agent.come_online(now=NOON)
    agent.come_online(now=LATER)

    assert [type(event) for event in recorded(agent)] == [Agent.CameOnline]
    assert agent.online


def test_an_agent_that_fell_silent_goes_offline_once_and_it_is_recorded_when_it_was_heard() -> None:
    agent = an_agent("come_online")

    agent.go_offline(NOON, now=LATER)
    agent.go_offline(NOON, now=LATER)

    (event,) = recorded(agent)
    assert (event.last_heard_at, event.timestamp) == (NOON, LATER)
    assert not agent.online


def test_an_agent_is_drained_once_and_resumed_once() -> None:
    agent = an_agent()

    for step in (agent.drain, agent.drain, agent.resume, agent.resume):
        step(now=NOON)

    assert [type(event) for event in recorded(agent)] == [Agent.Drained, Agent.Resumed]
    assert agent.standing is Standing.ACTIVE


@pytest.mark.parametrize("steps", [(), ("come_online",), ("drain",), ("come_online", "drain")])
def test_an_agent_is_retired_from_any_standing_once_and_is_offline_then(
    steps: tuple[str, ...],
) -> None:
    agent = an_agent(*steps)

    agent.retire(now=NOON)
    agent.retire(now=NOON)

    assert [type(event) for event in recorded(agent)] == [Agent.Retired]
    assert (agent.standing, agent.online) == (Standing.RETIRED, False)


@pytest.mark.parametrize("step", ["come_online", "drain", "resume"])
def test_a_retired_agent_serves_no_more(step: str) -> None:
    agent = an_agent("retire")

    with pytest.raises(AgentRetired, match="is retired"):
        getattr(agent, step)(now=NOON)

    assert recorded(agent) == []


def test_a_retired_agent_is_not_changed() -> None:
    agent = an_agent("retire")

    with pytest.raises(AgentRetired):
        agent.change(capabilities=("x",), slots=None, labels=None, now=NOON)

    assert recorded(agent) == []


def test_a_retired_agent_does_not_go_offline_again() -> None:
    agent = an_agent("come_online", "retire")

    agent.go_offline(NOON, now=LATER)

    assert recorded(agent) == []


def test_a_change_leaves_alone_what_it_does_not_name() -> None:
    agent = an_agent(labels={"zone": "b"})

    agent.change(capabilities=None, slots=5, labels=None, now=NOON)

    (event,) = recorded(agent)
    assert (event.capabilities, event.slots, event.labels) == (("review",), 5, {"zone": "b"})
    assert agent.slots == 5


def test_a_change_to_what_it_is_already_is_not_recorded() -> None:
    agent = an_agent()

    agent.change(capabilities=("review",), slots=2, labels={}, now=NOON)

    assert recorded(agent) == []


def test_a_retired_agent_is_reinstated_with_new_equipment_and_its_history() -> None:
    agent = an_agent("come_online", "retire")

    agent.reinstate(("write",), 3, {}, now=LATER)

    (event,) = recorded(agent)
    assert isinstance(event, Agent.Reinstated)
    assert (agent.standing, agent.online, agent.slots) == (Standing.ACTIVE, False, 3)
    assert agent.capabilities == ("write",)
    assert agent.version == 4


@pytest.mark.parametrize("steps", [(), ("drain",), ("come_online",)])
def test_the_name_of_an_agent_that_serves_is_taken(steps: tuple[str, ...]) -> None:
    agent = an_agent(*steps)

    with pytest.raises(AgentExists, match="'reviewer' already"):
        agent.reinstate(("write",), 3, {}, now=LATER)

    assert recorded(agent) == []
