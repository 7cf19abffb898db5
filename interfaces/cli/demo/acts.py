"""What happens in the demo: work is given out and watched, and one agent does not survive it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from interfaces.cli.demo.agents import Member
from interfaces.cli.demo.crew import Crew
from interfaces.cli.demo.files import Selection
from interfaces.cli.demo.screen import Scene, Screen, SilentScreen
from interfaces.cli.demo.story import Story
from interfaces.cli.demo.work import Job, counted, jobs_for
from interfaces.cli.failures import Failure
from musterroll import Client
from musterroll.errors import Unavailable

VICTIM = "librarian"
VICTIM_LEASES_MIN = 2
KILL_AFTER_SHARE = 0.3
IN_FLIGHT_SECONDS = 0.2

READY_SECONDS_MAX = 40.0
SECONDS_MAX = 58.0
RETRY_SECONDS = 3.0
POLL_SECONDS = 0.1
EVENTS_PAGE = 1000
EVENTS_WAIT_SECONDS = 1
ROSTER_SECONDS = 1.0


@dataclass(slots=True)
class Stage:
    """What the demo knows and holds while it runs."""

    crew: Crew
    scene: Scene
    members: tuple[Member, ...]
    screen: Screen = field(default_factory=SilentScreen)
    jobs: dict[str, Job] = field(default_factory=dict)
    agent_ids: dict[str, str] = field(default_factory=dict)
    killed_at: dict[str, datetime] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    cursor: str | None = None
    roster_read_at: float = 0.0

    @property
    def story(self) -> Story:
        """What happened so far."""
        return self.scene.story

    @property
    def first_task_after_seconds(self) -> float:
        """From the start of the demo to that of the first task."""
        first = self.story.first_start
        return (first - self.began).total_seconds() if first else 0.0


@contextmanager
def prepare(
    stage: Stage, selection: Selection, *, model: str | None, openai_url: str | None
) -> Iterator[Client]:
    """Start everything, register the agents and submit the work; a client to watch it with."""
    stage.scene.step = "Starting a service with a database of its own, and its agents ..."
    stage.crew.start_service()
    # One gets ready meanwhile, so that the first task need not wait; all at once would delay both.
    stage.crew.start_agent(stage.members[0].name)
    _wait_for_service(stage)
    crew = stage.crew
    with Client(
        crew.url,
        username="admin",
        password=crew.password_file.read_text().strip(),
        retry_seconds=RETRY_SECONDS,
    ) as client:
        orders = {"url": crew.url, "model": model, "openai_url": openai_url}
        _enlist(stage, client, stage.members[0], orders)
        _submit(stage, client, jobs_for(selection, with_summaries=model is not None))
        for member in stage.members[1:]:
            crew.start_agent(member.name)
            _enlist(stage, client, member, orders)
        stage.scene.title = f"{counted(len(stage.jobs), 'task')} about {stage.scene.title}"
        yield client


def follow(stage: Stage, client: Client) -> None:
    """Watch the work until it is all done, and kill an agent on the way.

    Raises Failure when it takes too long, or when the service dies.
    """
    while not stage.story.is_over:
        if stage.scene.seconds > SECONDS_MAX:
            raise Failure(_why_unfinished(stage))
        try:
            _look(stage, client, wait_seconds=EVENTS_WAIT_SECONDS)
            if _is_time_to_kill(stage):
                _kill(stage, client)
        except Unavailable:
            stage.crew.require_service()  # Its last words explain more than a lost connection.
            raise
        for name, code in stage.crew.fallen():
            _note_death(stage, name, f"{name} ended by signal {-code}")
        stage.scene.step = _commentary(stage)
        stage.screen.show(stage.scene)
    while _look(stage, client, wait_seconds=0):
        continue  # What was written after the last task ended belongs to the story too.


def _wait_for_service(stage: Stage) -> None:
    while not stage.crew.find_service():
        if stage.scene.seconds > READY_SECONDS_MAX:
            raise Failure(f"the service was not ready after {READY_SECONDS_MAX:.0f} s.")
        stage.screen.show(stage.scene)
        time.sleep(POLL_SECONDS)


def _enlist(stage: Stage, client: Client, member: Member, orders: dict[str, Any]) -> None:
    """Register an agent, and let its process work with credentials of its own."""
    made = client.agents.register(member.name, list(member.capabilities), slots=member.slots)
    stage.agent_ids[member.name] = made.id
    stage.story.expect_agent(made.id, member.name, slots=member.slots)
    secrets = {"client_id": made.client_id, "client_secret": made.client_secret}
    stage.crew.order(member.name, {**orders, **secrets})


def _submit(stage: Stage, client: Client, jobs: list[Job]) -> None:
    outcomes = client.tasks.submit_many([job.task for job in jobs])
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.id is None:
            raise Failure(f"{job.label} was refused: {outcome.error}")
        stage.jobs[outcome.id] = job
        stage.story.expect_task(outcome.id, job.label)


def _look(stage: Stage, client: Client, *, wait_seconds: int) -> bool:
    """Take what is new in the log into the story; whether there was anything."""
    asked: dict[str, Any] = {"limit": EVENTS_PAGE, "wait": wait_seconds}
    if stage.cursor is not None:
        asked["after"] = stage.cursor
    page = client.request("GET", "/v1/events", params=asked, wait_seconds=wait_seconds)
    for event in page["items"]:
        stage.story.take(event)
    stage.cursor = page["next_cursor"]
    if time.monotonic() - stage.roster_read_at > ROSTER_SECONDS:
        stage.roster_read_at = time.monotonic()
        stage.scene.loads = {agent.name: agent.load for agent in client.agents.list()}
    return bool(page["items"])


def _is_time_to_kill(stage: Stage) -> bool:
    if VICTIM in stage.killed_at:
        return False
    held = stage.story.agents[stage.agent_ids[VICTIM]].in_hand
    share = stage.story.completed / len(stage.story.tasks)
    return share >= KILL_AFTER_SHARE and len(held) >= VICTIM_LEASES_MIN


def _kill(stage: Stage, client: Client) -> None:
    """Kill the victim while it holds leases.

    Its tasks are short, so it is stopped first, and what it still holds is read from the log; when
    it had just handed in its work, it lives on until the next time.
    """
    stage.crew.pause(VICTIM)
    time.sleep(IN_FLIGHT_SECONDS)
    _look(stage, client, wait_seconds=0)
    held = stage.story.agents[stage.agent_ids[VICTIM]].in_hand
    if len(held) < VICTIM_LEASES_MIN:
        stage.crew.unpause(VICTIM)
        return
    names = ", ".join(stage.story.tasks[task_id].label for task_id in held)
    process_id = stage.crew.kill(VICTIM)
    _note_death(stage, VICTIM, f"kill -9 {process_id}: {VICTIM} dies, holding {names}")


def _commentary(stage: Stage) -> str:
    """What a spectator should know at this moment."""
    if not stage.killed_at:
        return f"Soon {VICTIM} will be killed, with tasks in hand. What becomes of them?"
    waiting = [rescue for rescue in stage.story.rescues if rescue.completed_at is None]
    if any(stage.story.agents[stage.agent_ids[name]].in_hand for name in stage.killed_at):
        return "The service was not told: the tasks come back when their leases expire."
    if waiting:
        return f"Leases have expired; waiting for other agents: {counted(len(waiting), 'task')}."
    return "All tasks of the dead were finished by others."


def _why_unfinished(stage: Stage) -> str:
    story = stage.story
    done = f"{story.completed} of {len(story.tasks)} tasks were done after {SECONDS_MAX:.0f} s"
    if others := [name for name in stage.killed_at if name != VICTIM]:
        return f"{done}: {', '.join(others)} was killed, and nobody is left who can do the rest."
    return f"{done}; is this machine busy? Try fewer: --tasks 100."


def _note_death(stage: Stage, name: str, text: str) -> None:
    now = datetime.now(UTC)
    stage.killed_at[name] = now
    stage.scene.killed.add(name)
    stage.story.note(now, text, is_trouble=True)
