"""What the demo shows while it runs: a live picture on a terminal, a line a second elsewhere."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from interfaces.cli.demo.story import AgentTale, Moment, Story

FRAMES_PER_SECOND = 8
MOMENTS_SHOWN = 8
BAR_WIDTH_MAX = 60


@dataclass(slots=True)
class Scene:
    """Everything that one picture is made of."""

    title: str
    story: Story
    began_at: float
    killed: set[str] = field(default_factory=set)
    loads: Mapping[str, float | None] = field(default_factory=dict)
    step: str = ""

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self.began_at


class Screen(Protocol):
    """Where the demo shows itself."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def show(self, scene: Scene) -> None:
        """Called often; shows as much as fits."""


def screen_for(*, quiet: bool) -> Screen:
    """The live picture on a terminal, lines elsewhere; on stderr when `quiet` keeps stdout free."""
    stream = sys.stderr if quiet else sys.stdout
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveScreen(Console(file=stream, highlight=False))
    return LineScreen(stream)


class LiveScreen:
    """A picture that is drawn over itself some times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Draw, unless it was drawn a moment ago."""
        if time.monotonic() - self._drawn_at >= 1 / FRAMES_PER_SECOND:
            self._live.update(picture(scene, height=self._console.height), refresh=True)
            self._drawn_at = time.monotonic()


class SilentScreen:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, scene: Scene) -> None:
        """Nothing."""


class LineScreen:
    """A line a second, and one for everything worth telling."""

    def __init__(self, stream: "SupportsWrite") -> None:
        self._stream = stream
        self._told = 0
        self._second = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, scene: Scene) -> None:
        """Tell what is new."""
        moments = scene.story.moments
        for moment in moments[self._told :]:
            self._say(f"{_clock(moment.at)}  {moment.text}")
        self._told = len(moments)
        if int(scene.seconds) > self._second:
            self._second = int(scene.seconds)
            self._say(line(scene))

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class SupportsWrite(Protocol):
    """A text stream."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


def line(scene: Scene) -> str:
    """The whole scene in one line."""
    story = scene.story
    if not story.tasks:
        return f"{scene.seconds:4.0f} s  {scene.step}"
    agents = "  ".join(
        f"{agent.name} {_state_word(agent, scene)}" for agent in story.agents.values()
    )
    return f"{scene.seconds:4.0f} s  {_totals(story)}  |  {agents}"


def picture(scene: Scene, *, height: int) -> RenderableType:
    """The whole scene: progress, agents and what they have in hand, and what just happened."""
    parts: list[RenderableType] = [_headline(scene)]
    story = scene.story
    if story.tasks:
        parts += [_progress(scene), Text(), _agents(scene)]
    if scene.step:
        parts += [Text(), Text(scene.step, style="bold", no_wrap=True, overflow="ellipsis")]
    room = height - len(story.agents) - len(parts) - 4
    parts += [Text(), *_moments(story.moments, min(MOMENTS_SHOWN, max(1, room)))]
    return Group(*parts)


def _headline(scene: Scene) -> Text:
    head = Text("Musterroll demo", style="bold", no_wrap=True, overflow="ellipsis")
    return head.append(f"  {scene.title}", style="not bold dim")


def _progress(scene: Scene) -> RenderableType:
    story = scene.story
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=BAR_WIDTH_MAX // 2)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    done = story.completed + story.failed
    grid.add_row(ProgressBar(total=len(story.tasks), completed=done), f"{_totals(story)}")
    return grid


def _totals(story: Story) -> str:
    done, total = story.completed, len(story.tasks)
    waiting = total - done - story.failed - story.running
    parts = [f"{done}/{total} done", f"{story.running} running", f"{waiting} waiting"]
    parts.append(f"{story.retries} retries")
    if story.failed:
        parts.append(f"{story.failed} failed")
    if story.rescues:
        parts.append(f"{len(story.rescues)} leases expired")
    if story.seconds_worked > 1:
        parts.append(f"{done / story.seconds_worked:.0f}/s")
    return " · ".join(parts)


def _agents(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), expand=True)
    table.add_column("agent", no_wrap=True, style="bold")
    table.add_column("slots", no_wrap=True)
    table.add_column("load", no_wrap=True, justify="right")
    table.add_column("done", no_wrap=True, justify="right")
    table.add_column("failed", no_wrap=True, justify="right")
    table.add_column("lost", no_wrap=True, justify="right")
    table.add_column("has in hand", no_wrap=True, overflow="ellipsis", ratio=1)
    for agent in scene.story.agents.values():
        load = scene.loads.get(agent.name)
        is_there = agent.online and agent.name not in scene.killed
        table.add_row(
            agent.name,
            _slots(agent, scene),
            f"{load:.0f} %" if is_there and load is not None else "",
            str(agent.completed),
            str(agent.failed or ""),
            Text(str(agent.lost or ""), style="red"),
            Text(_in_hand(agent, scene.story), style="cyan" if is_there else "red"),
        )
    return table


def _slots(agent: AgentTale, scene: Scene) -> Text:
    """A mark a slot: full ones are in use."""
    if agent.name in scene.killed:
        return Text("killed", style="bold red")
    if not agent.online:
        return Text("offline", style="dim")
    busy = min(len(agent.in_hand), agent.slots)
    return Text("●" * busy, style="green").append("○" * (agent.slots - busy), style="dim")


def _state_word(agent: AgentTale, scene: Scene) -> str:
    if agent.name in scene.killed:
        return "killed"
    return f"{len(agent.in_hand)}/{agent.slots}" if agent.online else "offline"


def _in_hand(agent: AgentTale, story: Story) -> str:
    return ", ".join(story.tasks[task_id].label for task_id in agent.in_hand)


def _moments(moments: Sequence[Moment], count: int) -> list[Text]:
    return [
        Text(no_wrap=True, overflow="ellipsis")
        .append(f"{_clock(moment.at)}  ", style="dim")
        .append(moment.text, style="red" if moment.is_trouble else "")
        for moment in moments[-count:]
    ]


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")
