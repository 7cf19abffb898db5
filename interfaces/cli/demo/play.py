"""The demo from its first line to its last: begin, watch, report, and leave nothing behind."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from interfaces.cli.demo.acts import Stage, follow, prepare
from interfaces.cli.demo.agents import CREW, SCRIBE, Member
from interfaces.cli.demo.crew import Crew
from interfaces.cli.demo.files import Selection, choose_files
from interfaces.cli.demo.report import Report, report_of
from interfaces.cli.demo.screen import Scene, screen_for
from interfaces.cli.demo.story import Story
from interfaces.cli.demo.telling import lines_of, show, show_steps
from interfaces.cli.demo.work import counted, files_for
from interfaces.cli.failures import Failure
from interfaces.cli.output import print_json
from interfaces.cli.waiting import working

FOLDER_PREFIX = "musterroll-demo-"
OWNER_FILE = "demo.pid"
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What the demo was asked to do."""

    root: Path
    only_python: bool
    tasks: int
    keep: bool
    openai_url: str | None
    model: str | None
    as_json: bool

    @property
    def members(self) -> tuple[Member, ...]:
        """The agents that take part."""
        return (*CREW, SCRIBE) if self.model else CREW


def perform(play: Play) -> None:
    """Run the demo. Whatever happens, it leaves nothing behind, unless it was to be kept.

    Raises Failure, and KeyboardInterrupt on SIGINT, SIGTERM or SIGHUP.
    """
    began_at = time.monotonic()
    selection = _select(play)
    title = f"{counted(len(selection.files), 'file')} of {play.root}"
    scene = Scene(title=title, story=Story(), began_at=began_at)
    with _interruption_told(), _signals_interrupt(), _crew(keep=play.keep) as crew:
        stage = Stage(crew=crew, scene=scene, members=play.members)
        with (
            screen_for(quiet=play.as_json) as stage.screen,
            prepare(stage, selection, model=play.model, openai_url=play.openai_url) as client,
        ):
            follow(stage, client)
        _tell(play, stage, report_of(stage, selection))


@contextmanager
def _interruption_told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("muster: interrupted; the demo stopped everything it had started.\n")
        raise


def _select(play: Play) -> Selection:
    """Raises Failure where there is nothing to work on."""
    selection = choose_files(play.root, files_for(play.tasks), only_python=play.only_python)
    if not selection.files:
        raise Failure(
            f"no readable text files in {play.root}: of {selection.seen} files none can be used."
        )
    return selection


@contextmanager
def _crew(*, keep: bool) -> Iterator[Crew]:
    """A crew in a folder of its own, stopped and removed at the end, or kept when all went well."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    if not keep:
        (folder / OWNER_FILE).write_text(str(os.getpid()))
    crew = Crew(folder, keep=keep)
    went_well = False
    try:
        yield crew
        went_well = True
    finally:
        if not (keep and went_well):
            with _signals_wait(), working("Stopping everything"):
                crew.stop()


def _sweep() -> None:
    """Remove the folders of demos that were killed before they could do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError, ValueError):
            if not psutil.pid_exists(int((folder / OWNER_FILE).read_text())):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo the way that Ctrl-C does."""
    former = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Cleaning up takes a moment, and an impatient second Ctrl-C must not stop it half way."""
    numbers = (signal.SIGINT, *ENDING_SIGNALS)
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _tell(play: Play, stage: Stage, report: Report) -> None:
    if play.as_json:
        print_json(report)
        return
    show(lines_of(report))
    steps = _steps_with(stage.crew) if play.keep else _STEPS
    show_steps(steps)


_STEPS = (
    ("muster up", "a service of your own, that stays"),
    ("muster demo FOLDER", "the same on files of yours"),
    ("muster demo --keep", "the same, left running, to look around in"),
    ("muster --help", "everything else"),
)


def _steps_with(crew: Crew) -> tuple[tuple[str, str], ...]:
    ids = " ".join(map(str, crew.process_ids()))
    return (
        (
            f"export MUSTERROLL_DATA_DIR={crew.data_dir}",
            "lets the commands below find this service",
        ),
        ("muster agent list", "who is there"),
        ("muster task list --limit 10", "what was done; then: muster task get TASK_ID"),
        ("muster events tail --follow", "the log, as it is written"),
        (f"{crew.url}/docs", "the API, in a browser"),
        (f"cat {crew.password_file}", "the password of `admin`"),
        (f"kill {ids}; sleep 5; rm -r {crew.folder}", "stop it all, and remove it"),
    )
