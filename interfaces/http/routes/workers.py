"""Workers: an agent's program lives, takes work, and says what became of it."""

import random
from typing import Any

from starlette.responses import Response

from application.commands import Origin
from application.commands.tasks import (
    Report,
    ReportCompleted,
    ReportFailed,
    ReportProgress,
    ReportReleased,
    ReportStarted,
)
from application.receipt import Receipt
from application.workforce import Attempt, Output
from domain.errors import (
    AgentRetired,
    ControlPlaneError,
    OnStandby,
)
from interfaces.http.disconnects import while_connected
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.recent_answers import RecentAnswers
from interfaces.http.responses import answer, failure_members, receipt_members, repeated
from interfaces.http.schemas import workers as schemas
from interfaces.http.schemas.workers import (
    HeartbeatBody,
    HeartbeatShown,
    LeaseBody,
    LeasesShown,
    OutputBody,
    OutputOutcomes,
    ReportOutcomes,
    ReportsBody,
    heartbeat_of,
    leases_of,
)


async def heartbeat(call: Call[HeartbeatBody, Parameters]) -> Response:
    """POST /v1/agents/{agent_id}/heartbeat."""
    body = call.body
    found = await call.process.workforce.heartbeat(
        call.tenant,
        call.id_of("agent_id"),
        cpu=body.cpu,
        memory=body.memory,
        queue=body.queue,
        running=[Attempt(task_id=one.task_id, attempt=one.attempt) for one in body.running],
    )
    return answer(heartbeat_of(found))


async def lease(call: Call[LeaseBody, Parameters]) -> Response:
    """POST /v1/agents/{agent_id}/leases, perhaps a long poll."""
    recent: RecentAnswers = call.request.app.state.recent_answers
    if former := recent.find(call.key):
        return repeated(former)
    body = call.body
    asked = call.process.workforce.lease(
        call.tenant, call.id_of("agent_id"), slots=body.slots, wait_seconds=body.wait_seconds
    )
    found = await while_connected(call.request, asked)
    response = answer(leases_of(found))
    if found.leases:
        subjects = [one.grant.subject_id for one in found.leases]
        recent.keep(call.key, bytes(response.body), about=list(filter(None, subjects)))
    return response


async def report(call: Call[ReportsBody, Parameters]) -> Response:
    """POST /v1/agents/{agent_id}/reports."""
    reports, agent_id = call.body.reports, call.id_of("agent_id")
    commands = [
        command_of(one, agent_id, origin)
        for one, origin in zip(reports, call.origins_of_parts(len(reports)), strict=True)
    ]
    outcomes = await call.process.commands.execute_many(commands, call.key)
    content = [_outcome(one, outcome) for one, outcome in zip(reports, outcomes, strict=True)]
    replayed = all(isinstance(one, Receipt) and one.replayed for one in outcomes)
    return answer({"outcomes": content}, replayed=replayed)


async def output(call: Call[OutputBody, Parameters]) -> Response:
    """POST /v1/agents/{agent_id}/output."""
    pieces = [
        Output(task_id=one.task_id, attempt=one.attempt, text=one.text) for one in call.body.output
    ]
    refusals = await call.process.workforce.output(call.tenant, call.id_of("agent_id"), pieces)
    content = [
        {"task_id": one.task_id, "attempt": one.attempt, "accepted": refusal is None}
        | ({"error": failure_members(refusal)} if refusal else {})
        for one, refusal in zip(pieces, refusals, strict=True)
    ]
    return answer({"outcomes": content})


def command_of(report: schemas.Report, agent_id: Any, origin: Origin) -> Report:
    """The command that a report is. Chance comes in here, so that the domain has none."""
    about: dict[str, Any] = {
        "origin": origin,
        "task_id": report.task_id,
        "agent_id": agent_id,
        "attempt": report.attempt,
    }
    match report:
        case schemas.StartedReport():
            return ReportStarted(**about)
        case schemas.ProgressReport():
            return ReportProgress(**about, fraction=report.fraction, message=report.message)
        case schemas.CompletedReport():
            return ReportCompleted(**about, result=report.result)
        case schemas.FailedReport(error=error):
            jitter = random.random() if report.retryable else None  # noqa: S311 - no secret
            return ReportFailed(
                **about, code=error.code, message=error.message, retry_jitter=jitter
            )
        case schemas.ReleasedReport():
            return ReportReleased(**about)


def _outcome(report: schemas.Report, outcome: Receipt | ControlPlaneError) -> dict[str, Any]:
    attempt = {"task_id": report.task_id, "attempt": report.attempt}
    refusal = outcome if isinstance(outcome, ControlPlaneError) else outcome.refusal
    if refusal is not None:
        return {**attempt, "accepted": False, "error": failure_members(refusal)}
    assert isinstance(outcome, Receipt), "it is a receipt or a refusal"
    return {**attempt, "accepted": True, **receipt_members(outcome)}


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/agents/{agent_id}/heartbeat",
        handler=heartbeat,
        scope="worker",
        summary="Show that an agent lives, and renew its leases",
        body=HeartbeatBody,
        answer=HeartbeatShown,
        errors=(AgentRetired, OnStandby),
    ),
    Operation(
        method="POST",
        path="/v1/agents/{agent_id}/leases",
        handler=lease,
        scope="worker",
        summary="Take work, or wait for it",
        body=LeaseBody,
        answer=LeasesShown,
        errors=(AgentRetired, OnStandby),
    ),
    Operation(
        method="POST",
        path="/v1/agents/{agent_id}/reports",
        handler=report,
        scope="worker",
        summary="Say what became of attempts",
        description=(
            "Each report has its own outcome, in order. One of an attempt that is over is "
            "refused with `stale_attempt`, and the refusal is recorded."
        ),
        body=ReportsBody,
        answer=ReportOutcomes,
    ),
    Operation(
        method="POST",
        path="/v1/agents/{agent_id}/output",
        handler=output,
        scope="worker",
        summary="Show what running tasks write",
        description=(
            "Tokens and log lines, handed on at once to whoever listens to `output.<task id>`, and "
            "kept nowhere. What does not come from the holder of the attempt is refused with "
            "`stale_attempt`, piece by piece. A repeated request is handed on again."
        ),
        body=OutputBody,
        answer=OutputOutcomes,
        errors=(AgentRetired, OnStandby),
    ),
]
