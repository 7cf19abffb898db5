"""Why a task went the way it went, and what another policy would have decided."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from application.cursor import Cursor
from application.decisions.sentences import Names
from application.decisions.telling import Explained, Ready, StepTold
from application.decisions.why import Story
from interfaces.http.fields import WHOLE
from interfaces.http.schemas.base import Body, CursorOut, documented
from interfaces.http.schemas.moments import InstantOut, MomentText

DIFFERENCES_MAX = 1_000
EXAMPLE = (
    "reviewer-2 was chosen of 2 agents by weighted_load v1: its load was 12.0, reviewer-1's 40.5."
)


@documented
class AgentNamed(TypedDict):
    """An agent; `name` is null when it was never registered."""

    agent_id: UUID
    name: str | None


@documented
class CandidateShown(TypedDict):
    """One that was considered, and its reading at that moment."""

    agent_id: UUID
    name: str | None
    cpu: float | None
    """0 to 100; null: not reported."""
    memory: float | None
    """0 to 100; null: not reported."""
    queue: int
    slots: int
    score: float
    """As it was recorded; the lowest wins."""
    recomputed_score: float | None
    """As it comes out now, from the recorded reading; null for an unknown policy."""


@documented
class DecisionShown(TypedDict):
    """A decision as it was recorded, and made again from that."""

    policy: str
    policy_version: int
    seed: int
    """It settles ties."""
    ready: InstantOut | None
    """What put the task in the queue, and when; null when that is not among the steps."""
    waited_seconds: float | None
    candidates: list[CandidateShown]
    winner: AgentNamed
    recomputed_winner: AgentNamed | None
    reproduced: bool | Literal["unknown_policy"]
    """Whether every score and the winner came out as they were recorded; `unknown_policy`: this
    service does not know that version of the policy, and does not guess."""


@documented
class StepShown(TypedDict):
    """An event of the task, and why."""

    cursor: CursorOut
    version: int
    time: datetime
    type: Annotated[str, Field(examples=["task.assigned"])]
    actor: str
    attempt: int | None
    text: Annotated[str, Field(examples=[EXAMPLE])]
    decision: DecisionShown | None
    """Of what gave the task to an agent."""


@documented
class WhyAnswer(TypedDict):
    """Everything that was decided of a task, in order."""

    task_id: UUID
    steps: list[StepShown]
    truncated: bool
    """Of a very long story the first step and the newest ones are told."""


def why_of(task_id: UUID, story: Story, epoch: int) -> WhyAnswer:
    """A story as it is shown."""
    return {
        "task_id": task_id,
        "steps": [_step_of(step, story.names, epoch) for step in story.steps],
        "truncated": story.truncated,
    }


def _step_of(step: StepTold, names: Names, epoch: int) -> StepShown:
    record, explained = step.record, step.explained
    return {
        "cursor": str(Cursor(epoch, record.position)),
        "version": record.version,
        "time": step.at,
        "type": record.topic,
        "actor": record.actor,
        "attempt": step.attempt,
        "text": step.text,
        "decision": None if explained is None else _decision_of(explained, names, epoch),
    }


def _decision_of(explained: Explained, names: Names, epoch: int) -> DecisionShown:
    decision, again, ready = explained.decision, explained.again, explained.ready
    rescored = (
        [one.score for one in again.candidates] if again else [None] * len(decision.candidates)
    )
    return {
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "seed": decision.seed,
        "ready": _instant(ready, epoch) if ready else None,
        "waited_seconds": explained.waited.total_seconds()
        if explained.waited is not None
        else None,
        "candidates": [
            {
                **named(one.agent_id, names),
                "cpu": one.cpu,
                "memory": one.memory,
                "queue": one.queue,
                "slots": one.slots,
                "score": one.score,
                "recomputed_score": score,
            }
            for one, score in zip(decision.candidates, rescored, strict=True)
        ],
        "winner": named(decision.winner, names),
        "recomputed_winner": named(again.winner, names) if again else None,
        "reproduced": "unknown_policy" if explained.reproduced is None else explained.reproduced,
    }


def _instant(ready: Ready, epoch: int) -> InstantOut:
    return {"cursor": str(Cursor(epoch, ready.position)), "time": ready.at}


def named(agent_id: UUID, names: Mapping[UUID, str]) -> AgentNamed:
    """An agent with the name that it always had."""
    return {"agent_id": agent_id, "name": names.get(agent_id)}


class WhatIfBody(Body):
    """Which decisions, and by which policy they are to be made again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"policy": "least_outstanding", "from": "2026-01-31T14:00:00Z", "to": "1:4711"}
            ]
        }
    )

    policy: Annotated[str, Field(min_length=1, max_length=100)]
    """The name of a policy that the service knows."""
    begin: MomentText | None = Field(default=None, alias="from")
    """The event at this cursor, or what was recorded at this time, is the first; by default the
    first of all."""
    end: MomentText | None = Field(default=None, alias="to")
    """What comes last; by default what is the newest now."""
    differences: Annotated[int, Field(ge=0, le=DIFFERENCES_MAX), WHOLE] = 100
    """So many of the decisions that come out otherwise are listed, from the first."""


@documented
class PolicyShown(TypedDict):
    """A policy, and which version of it."""

    name: str
    version: int


@documented
class AgentShares(TypedDict):
    """How often an agent was chosen, and would have been."""

    agent_id: UUID
    name: str | None
    then: int
    instead: int


@documented
class ChoiceShown(TypedDict):
    """One that was, or would have been, chosen."""

    agent_id: UUID
    name: str | None
    score_then: float
    """Under the recorded policy, as it was recorded."""
    score_instead: float
    """Under the policy that was asked for."""


@documented
class DifferenceShown(TypedDict):
    """A decision that comes out otherwise; with the same agent twice where only a score does."""

    cursor: CursorOut
    task_id: UUID
    then: ChoiceShown
    instead: ChoiceShown


@documented
class Spread(TypedDict):
    """Seconds, over all attempts."""

    mean: float
    p50: float
    p95: float
    max: float


@documented
class TimesShown(TypedDict):
    """How long it took, or would have taken."""

    attempts: int
    """How many came to an end."""
    waiting_seconds: Spread
    """For an agent, since the task was ready."""
    finishing_seconds: Spread
    """From when the task was ready to the end of the attempt."""
    until_last_seconds: float
    """From when the first was ready to when the last ended."""


@documented
class EstimateShown(TypedDict):
    """Times under one simulation; compare `recorded` with `instead`, and see `caveat`."""

    recorded_policy: PolicyShown
    """The one that decided most often in the range."""
    recorded: TimesShown | None
    """Simulated under that policy; null when the service does not know that version of it."""
    instead: TimesShown
    """Simulated under the policy that was asked for."""
    happened: TimesShown
    """What was recorded, for comparison with the simulation itself."""
    caveat: str


@documented
class WhatIfAnswer(TypedDict):
    """What another policy would have decided, and about how long things would have taken."""

    policy: PolicyShown
    begin: Annotated[InstantOut, Field(alias="from")]
    """What `from` came to."""
    end: Annotated[InstantOut, Field(alias="to")]
    decisions: int
    """How many there were."""
    changed: int
    """Of these another agent wins."""
    share: float
    """`changed` of `decisions`, 0 to 1."""
    rescored: int
    """Recorded under this very policy and version, with other scores than come out now: 0, unless
    the policy or the record is wrong."""
    agents: list[AgentShares]
    differences: list[DifferenceShown]
    truncated: bool
    """There are more differences than are listed."""
    estimate: EstimateShown | None
    """Null where there was nothing to simulate, or too much."""
