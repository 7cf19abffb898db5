"""Agents: the roll of those who serve."""

from collections.abc import Callable

from starlette.responses import Response

from application.accounts.account import Issued
from application.commands.agents import (
    AgentCommand,
    ChangeAgent,
    DrainAgent,
    ResumeAgent,
    RetireAgent,
)
from application.queries import AgentStatus
from domain.agent import Standing, agent_id_of
from domain.errors import AgentExists, AgentRetired
from interfaces.http.fields import unique
from interfaces.http.operation import Call, Handler, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer, path_of, receipt_answer, receipt_members
from interfaces.http.schemas.agents import (
    AgentAnswer,
    AgentBody,
    AgentChangeBody,
    AgentListParameters,
    AgentPage,
    Credentials,
    Registration,
    agent_of,
    agent_then_of,
)
from interfaces.http.schemas.base import AgentReceipt, NoBody
from interfaces.http.schemas.moments import PAST, AtParameters


async def register(call: Call[AgentBody, Parameters]) -> Response:
    """POST /v1/agents. The log comes first, so that a refusal leaves every secret as it was."""
    body, agent_id = call.body, agent_id_of(call.tenant, call.body.name)
    call.concerns(agent_id=agent_id, name=body.name)
    receipt = await call.process.commands.execute(
        body.registration(call.origin(), agent_id), call.key
    )
    issued = await call.process.accounts.issue_for_agent(
        call.tenant, agent_id, body.name, position=receipt.cursor.position
    )
    return answer(
        {"agent_id": agent_id, **receipt_members(receipt), **_credentials(issued)},
        201,
        version=receipt.version,
        location=path_of("agents", agent_id),
        replayed=receipt.replayed,
    )


async def change(call: Call[AgentChangeBody, Parameters]) -> Response:
    """PATCH /v1/agents/{agent_id}."""
    body = call.body
    command = ChangeAgent(
        origin=call.origin(),
        agent_id=call.id_of("agent_id"),
        capabilities=None if body.capabilities is None else unique(body.capabilities),
        slots=body.slots,
        labels=body.labels,
    )
    return receipt_answer(await call.process.commands.execute(command, call.key), "agent_id")


async def retire(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/agents/{agent_id}/retire. Its credentials end with its service."""
    agent_id = call.id_of("agent_id")
    receipt = await call.process.commands.execute(
        RetireAgent(origin=call.origin(), agent_id=agent_id), call.key
    )
    position = receipt.cursor.position
    await call.process.accounts.withdraw_from_agent(agent_id, position=position)
    return receipt_answer(receipt, "agent_id")


async def rotate_secret(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/agents/{agent_id}/secret."""
    accounts, agent_id = call.process.accounts, call.id_of("agent_id")
    issued = await accounts.rotate_for_agent(call.tenant, agent_id, call.key)
    if issued is None:
        # Its registration was cut short before its account was made, or it is retired.
        line = (await call.process.queries.agent(call.tenant, agent_id, seen=None)).line
        if line.standing == Standing.RETIRED:
            raise AgentRetired(agent_id)
        issued = await accounts.issue_for_agent(
            call.tenant, agent_id, line.name, position=line.position
        )
    return answer(_credentials(issued), replayed=issued.repeated)


async def show(call: Call[None, AtParameters]) -> Response:
    """GET /v1/agents/{agent_id}, now or as of a moment."""
    agent_id = call.id_of("agent_id")
    if call.parameters.at is not None:
        agent, at = await call.process.time_travel.things.agent(
            call.tenant, agent_id, call.parameters.at, seen=call.seen
        )
        content = agent_then_of(agent, call.process.epoch) | {"at": at.members()}
        return answer(content, version=agent.status.line.version)
    found: AgentStatus = await call.process.queries.agent(call.tenant, agent_id, seen=call.seen)
    return answer(agent_of(found, call.process.epoch), version=found.line.version)


async def list_(call: Call[None, AgentListParameters]) -> Response:
    """GET /v1/agents. One more than asked for tells whether there is another page."""
    limit = call.parameters.limit
    found = await call.process.queries.agents(
        call.tenant, after=call.parameters.cursor, limit=limit + 1, seen=call.seen
    )
    items = [agent_of(agent, call.process.epoch) for agent in found[:limit]]
    next_cursor = items[-1]["name"] if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


def _credentials(issued: Issued) -> dict[str, object]:
    return {"client_id": issued.account.account_id, "client_secret": issued.secret}


def _plain(kind: Callable[..., AgentCommand]) -> Handler:
    async def handler(call: Call[NoBody, Parameters]) -> Response:
        command = kind(origin=call.origin(), agent_id=call.id_of("agent_id"))
        return receipt_answer(await call.process.commands.execute(command, call.key), "agent_id")

    return handler


def _decision(verb: str, handler: Handler, summary: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/agents/{{agent_id}}/{verb}",
        handler=handler,
        scope="agents:admin",
        summary=summary,
        body=NoBody,
        body_optional=True,
        versioned=True,
        answer=AgentReceipt,
        errors=(AgentRetired,) if verb != "retire" else (),
    )


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/agents",
        handler=register,
        scope="agents:admin",
        summary="Register an agent, or bring a retired one back",
        description="A name that is taken answers 409 `agent_exists` with the `agent_id`.",
        body=AgentBody,
        status=201,
        answer=Registration,
        errors=(AgentExists,),
        headers={"Location": "Where the agent is served."},
    ),
    Operation(
        method="GET",
        path="/v1/agents",
        handler=list_,
        scope="agents:read",
        summary="List agents by name",
        parameters=AgentListParameters,
        answer=AgentPage,
    ),
    Operation(
        method="GET",
        path="/v1/agents/{agent_id}",
        handler=show,
        scope="agents:read",
        summary="Show an agent, now or as of a moment",
        parameters=AtParameters,
        answer=AgentAnswer,
        errors=PAST,
    ),
    Operation(
        method="PATCH",
        path="/v1/agents/{agent_id}",
        handler=change,
        scope="agents:admin",
        summary="Change what an agent can do",
        body=AgentChangeBody,
        versioned=True,
        answer=AgentReceipt,
        errors=(AgentRetired,),
    ),
    Operation(
        method="POST",
        path="/v1/agents/{agent_id}/secret",
        handler=rotate_secret,
        scope="agents:admin",
        summary="Give an agent a new secret",
        description="The former one and its tokens stop working at once.",
        body=NoBody,
        body_optional=True,
        answer=Credentials,
        errors=(AgentRetired,),
    ),
    _decision("drain", _plain(DrainAgent), "Give an agent no new work"),
    _decision("resume", _plain(ResumeAgent), "Let a draining agent take work again"),
    _decision("retire", retire, "End an agent's service"),
]
