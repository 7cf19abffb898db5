"""Every event in a sentence: those of the activity feed, and the routine steps that it leaves
out."""

from eventsourcing.domain import AggregateEvent

from application.projections.activity_feed import in_words
from domain.task import Task


def told(event: AggregateEvent) -> str:
    """What happened."""
    match event:
        case Task.Queued():
            return "Its time had come: the task was queued."
        case Task.Assigned():
            among = len(event.decision.candidates)
            one_of = "the only agent" if among == 1 else f"one of {among} agents"
            return f"Attempt {event.attempt} was given to agent {event.agent_id}, {one_of}."
        case Task.Started():
            return f"Attempt {event.attempt} was begun."
        case Task.Progressed():
            said = f": {event.message}" if event.message else "."
            return f"Attempt {event.attempt} had come to {event.fraction:.0%}{said}"
        case _:
            return in_words(event)
