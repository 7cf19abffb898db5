"""What is left of the demo when it is over: what was found, and how the work was done."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from interfaces.cli.demo.acts import Stage
from interfaces.cli.demo.files import Selection
from interfaces.cli.demo.findings import (
    ComplexFunction,
    LookAlikes,
    Readability,
    look_alikes,
    most_complex,
    readability,
    top_keywords,
)
from interfaces.cli.demo.story import Rescue, Story
from interfaces.cli.demo.work import Job, relative_to


class Found(TypedDict):
    """What the agents found in the files."""

    folder: str
    files: int
    keywords: list[str]
    most_complex: list[ComplexFunction]
    look_alikes: list[LookAlikes]
    readability: Readability
    summaries: dict[str, str]


class AgentShare(TypedDict):
    """What one agent did."""

    agent: str
    does: str
    slots: int
    completed: int
    failed_attempts: int
    leases_lost: int
    killed: bool


class RescueTold(TypedDict):
    """A task that was taken from a dead agent, and who finished it."""

    task: str
    task_id: str
    lost_by: str
    attempt_lost: int
    seconds_to_expiry: float
    finished_by: str | None
    attempt_finished: int


class Checked(TypedDict):
    """Whether every task was done exactly once, counted in the log."""

    tasks: int
    completed_events: int
    done_twice: int
    never_done: int
    exactly_once: bool


class Report(TypedDict):
    """The whole report, as `--json` prints it."""

    found: Found
    agents: list[AgentShare]
    rescues: list[RescueTold]
    check: Checked
    decisions: int
    contested: int
    won_by_least_loaded: int
    retries: int
    events: dict[str, int]
    first_task_after_seconds: float
    worked_seconds: float
    total_seconds: float


def report_of(stage: Stage, selection: Selection) -> Report:
    """Everything that the demo has to say for itself."""
    story = stage.story
    return {
        "found": _found_in(selection, stage.jobs, story),
        "agents": _shares_of(stage),
        "rescues": _rescues_of(story, stage.killed_at),
        "check": _check_of(story),
        "decisions": story.routing.decisions,
        "contested": story.routing.contested,
        "won_by_least_loaded": story.routing.won_by_least_loaded,
        "retries": story.retries,
        "events": dict(story.events),
        "first_task_after_seconds": round(stage.first_task_after_seconds, 1),
        "worked_seconds": round(story.seconds_worked, 1),
        "total_seconds": round(stage.scene.seconds, 1),
    }


def _found_in(selection: Selection, jobs: Mapping[str, Job], story: Story) -> Found:
    """The findings, from the results that the log holds. `jobs` by task id."""
    results: dict[str, dict[str, Any]] = {}
    for task_id, job in jobs.items():
        tale = story.tasks[task_id]
        if tale.status == "completed":
            results.setdefault(job.kind, {})[job.file or task_id] = tale.result
    return {
        "folder": str(selection.root),
        "files": len(selection.files),
        "keywords": top_keywords(results.get("keywords", {})),
        "most_complex": most_complex(results.get("complexity", {})),
        "look_alikes": look_alikes(
            results.get("look-alikes", {}).values(), called=_caller(selection.root)
        ),
        "readability": readability(results.get("words", {})),
        "summaries": {file: r["text"] for file, r in results.get("summary", {}).items()},
    }


def _caller(root: Path) -> Callable[[str], str]:
    return lambda path: relative_to(root, Path(path))


def _shares_of(stage: Stage) -> list[AgentShare]:
    does = {member.name: member.does for member in stage.members}
    return [
        {
            "agent": tale.name,
            "does": does[tale.name],
            "slots": tale.slots,
            "completed": tale.completed,
            "failed_attempts": tale.failed,
            "leases_lost": tale.lost,
            "killed": tale.name in stage.killed_at,
        }
        for tale in stage.story.agents.values()
    ]


def _rescues_of(story: Story, killed_at: Mapping[str, datetime]) -> list[RescueTold]:
    """What became of the tasks whose leases expired."""
    return [
        {
            "task": rescue.label,
            "task_id": rescue.task_id,
            "lost_by": rescue.lost_by,
            "attempt_lost": rescue.attempt,
            "seconds_to_expiry": _seconds_to_expiry(rescue, killed_at),
            "finished_by": rescue.taken_by if rescue.completed_at else None,
            "attempt_finished": story.tasks[rescue.task_id].attempt,
        }
        for rescue in story.rescues
    ]


def _check_of(story: Story) -> Checked:
    """Count completions in the log: each task must have exactly one."""
    counts = [task.completions for task in story.tasks.values()]
    return {
        "tasks": len(counts),
        "completed_events": story.events["task.completed"],
        "done_twice": sum(1 for count in counts if count > 1),
        "never_done": sum(1 for count in counts if count == 0),
        "exactly_once": all(count == 1 for count in counts)
        and story.events["task.completed"] == len(counts),
    }


def _seconds_to_expiry(rescue: Rescue, killed_at: Mapping[str, datetime]) -> float:
    killed = killed_at.get(rescue.lost_by, rescue.expired_at)
    return round((rescue.expired_at - killed).total_seconds(), 1)
