"""What adds nothing to the log still has to stand on the log as it is, whoever wrote to it."""

from application.commands.agents import (
    ChangeAgent,
    DrainAgent,
    RegisterAgent,
    ResumeAgent,
    RetireAgent,
)
from application.receipt import Receipt
from domain.agent import agent_id_of
from tests.application.desk import Desk, opened
from tests.conftest import Database
from tests.given import TENANT, by

AGENT = agent_id_of(TENANT, "ada")


def registration() -> RegisterAgent:
    return RegisterAgent(
        origin=by(), agent_id=AGENT, name="ada", capabilities=("review",), slots=1, labels={}
    )


def register(desk: Desk) -> None:
    desk.execute(registration())


def half_decided() -> ChangeAgent:
    """Refused when its event turns out not to be JSON."""
    return ChangeAgent(origin=by(), agent_id=AGENT, labels={"zone": object()})  # type: ignore[dict-item]


def test_nothing_to_do_is_not_said_of_what_another_node_has_changed(database: Database) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        register(here)
        there.execute(DrainAgent(origin=by(), agent_id=AGENT))

        here.execute(ResumeAgent(origin=by(), agent_id=AGENT))

        assert here.topics() == ["agent.registered", "agent.drained", "agent.resumed"]


def test_nor_beside_a_command_that_goes_wrong_half_way(database: Database) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        register(here)
        there.execute(DrainAgent(origin=by(), agent_id=AGENT))

        resume = ResumeAgent(origin=by(), agent_id=AGENT)
        answers = here.execute_at_once(resume, half_decided())

        assert isinstance(answers[0], Receipt)
        assert here.topics() == ["agent.registered", "agent.drained", "agent.resumed"]


def test_nor_is_one_refused_beside_a_command_that_goes_wrong_half_way(database: Database) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        register(here)
        there.execute(RetireAgent(origin=by(), agent_id=AGENT))

        answers = here.execute_at_once(registration(), half_decided())

        assert isinstance(answers[0], Receipt)
        assert here.topics() == ["agent.registered", "agent.retired", "agent.reinstated"]
