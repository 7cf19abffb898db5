"""What was decided of a task and why, in sentences: from the recorded facts, and nothing else.

No input, result or message of a task is in them: these may be personal.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from domain.retry import backoff
from domain.routing import Candidate, Decision
from domain.task import Task

RIVALS_MAX = 4
"""So many of those that did not win are named with their scores."""
MEASURES = {
    "weighted_load": ("load", ""),
    "least_outstanding": ("share of slots in use", " %"),
}

Names = Mapping[UUID, str]


def name_of(agent_id: UUID, names: Names) -> str:
    """What an agent was called; the beginning of its id when it was never registered."""
    return names.get(agent_id) or f"agent {str(agent_id)[:8]}"


def clock_time(at: datetime) -> str:
    """A time as sentences have it, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def seconds(span: timedelta) -> str:
    """How long something took."""
    return f"{max(span.total_seconds(), 0):.3g} s"


def choice(decision: Decision, names: Names) -> str:
    """Who was chosen, of whom, by what."""
    winner = next(one for one in decision.candidates if one.agent_id == decision.winner)
    who, policy = name_of(winner.agent_id, names), f"{decision.policy} v{decision.policy_version}"
    measure, unit = MEASURES.get(decision.policy, ("score", ""))
    if len(decision.candidates) == 1:
        return (
            f"{who} was chosen: nobody else could do it and had room just then. By {policy} its "
            f"{measure} was {winner.score:.1f}{unit}."
        )
    rivals = sorted(
        (one for one in decision.candidates if one.agent_id != winner.agent_id),
        key=lambda one: (one.score, name_of(one.agent_id, names)),
    )
    told = ", ".join(
        f"{name_of(one.agent_id, names)}'s {one.score:.1f}{unit}" for one in rivals[:RIVALS_MAX]
    )
    more = f" and {len(rivals) - RIVALS_MAX} more" if len(rivals) > RIVALS_MAX else ""
    text = (
        f"{who} was chosen of {len(decision.candidates)} agents by {policy}: its {measure} was "
        f"{winner.score:.1f}{unit}, {told}{more}."
    )
    return text + _lot(winner, rivals, decision.seed)


def _lot(winner: Candidate, rivals: Sequence[Candidate], seed: int) -> str:
    tied = sum(one.score == winner.score for one in rivals)
    if not tied:
        return ""
    others = "another agent" if tied == 1 else f"{tied} others"
    return f" It was level with {others}, and the lot drawn from seed {seed} fell to it."


def back_off(event: Task.AttemptFailed, failures: int | None) -> str:
    """When it is tried again. `failures`: so many attempts were used up; None: not known."""
    assert event.retry_at is not None, "it is tried again"
    wait = event.retry_at - event.timestamp
    text = f"It is tried again after {seconds(wait)}, at {clock_time(event.retry_at)}"
    if failures is None:
        return text + "."
    full = backoff(failures, jitter=0)
    word = "failure" if failures == 1 else "failures"
    return (
        f"{text}: the back-off after {failures} {word} is {seconds(full)}, of which chance may "
        "take up to half."
    )


def failure(
    event: Task.AttemptFailed, who: str, *, failures: int | None, max_attempts: int, limit: int
) -> str:
    """An attempt went wrong, and what comes of it."""
    if event.code == "timeout":
        text = f"Attempt {event.attempt} by {who} took longer than its time limit of {limit} s."
    else:
        text = f"Attempt {event.attempt} by {who} failed ({event.code})."
    if event.retry_at is not None:
        return f"{text} {back_off(event, failures)}"
    if failures is not None and failures >= max_attempts:
        return f"{text} It was the last of {max_attempts} attempts."
    return f"{text} Another attempt would not help, as was reported with it."


def lease_expiry(event: Task.LeaseExpired, who: str, lease_until: datetime | None) -> str:
    """A holder was not heard of."""
    until = ""
    if lease_until is not None:
        until = (
            f"; assigned until {clock_time(lease_until)}, and longer by every heartbeat that named "
            "it"
        )
    then = "It was the last attempt." if event.last_attempt else "It was queued again at once."
    return (
        f"Attempt {event.attempt} was taken back from {who}, of whom nothing was heard until its "
        f"lease was over{until}. {then}"
    )


def release(event: Task.Released, who: str, actor: str) -> str:
    """A task was given back unharmed."""
    text = f"Attempt {event.attempt} was given back by {who}"
    if actor == "process/presence":
        text = f"Attempt {event.attempt} was taken back from {who}, which was retired"
    elif actor == "process/dispatch":
        text = f"Attempt {event.attempt} was taken back: {who} no longer waited for it"
    return f"{text}. It costs no attempt, and the task was queued again at once."


def refusal(event: Task.ReportRefused, who: str, *, held: bool) -> str:
    """A report came too late."""
    now = f"attempt {event.current_attempt} was" if held else "no attempt was"
    return (
        f"A report ({event.report}) of attempt {event.attempt} by {who} was refused: {now} under "
        "way."
    )


def ending(word: str, actor: str, reason: str | None) -> str:
    """Somebody ended it."""
    why = f": {reason.rstrip('.')}" if reason else ", and gave no reason"
    return f"{actor} {word} it{why}."
