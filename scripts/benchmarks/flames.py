"""Flame graphs of the hot paths, and where their time goes; scripts/flame.py calls this.

Everything is started as in the bench. py-spy watches each Python process of ours that takes part.
Only who holds the interpreter's lock counts: that is what the threads of a process compete for.
"""

import argparse
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.children import Child, ChildFailed
from benchmarks.effort import FULL
from benchmarks.environment import FOLDER, VENV
from benchmarks.place import JOB_SECONDS_MAX, NotMeasured, Place, a_place
from benchmarks.service import CONNECTIONS, a_service

PY_SPY = VENV / "bin" / "py-spy"
SAMPLES_A_SECOND = 100
WRITE_SECONDS_MAX = 60.0
SUBMIT_SECONDS = 8.0
TASKS = 40_000
ROWS = 10
THREAD_SHARE_MIN = 0.03
MOST = 0.98
"""What has so much of a thread only says which thread it is."""
OURS = re.compile(r"\((?:domain|application|infrastructure|interfaces|musterroll)/")
SHAPES = {"flamegraph": "svg", "raw": "txt"}


class Album:
    """A folder that the graphs go to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def recorded(self, name: str, pid: int) -> Iterator[None]:
        """Watch a process while the with statement runs, then tell what was seen.

        Raises NotMeasured when it cannot be watched.
        """
        files = {shape: self._folder / f"{name}.{ending}" for shape, ending in SHAPES.items()}
        with ExitStack() as watching:
            for shape, file in files.items():
                watching.enter_context(_watched(pid, shape, file))
            yield
        table = where_time_goes(files["raw"].read_text(encoding="utf-8").splitlines())
        print(f"\n{name}: {files['flamegraph']}", *table, sep="\n", flush=True)


@contextmanager
def _watched(pid: int, shape: str, file: Path) -> Iterator[None]:
    words = [str(PY_SPY), "record", "--pid", str(pid), "--format", shape, "--output", str(file)]
    words += ["--rate", str(SAMPLES_A_SECOND), "--threads", "--function", "--gil"]
    watching = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with watching:
        assert watching.stdout is not None
        said = []
        try:
            for line in watching.stdout:
                said.append(line.strip())
                if "Sampling process" in line:
                    break
            else:
                raise NotMeasured(f"py-spy may not watch: {' '.join(filter(None, said))[:240]}")
            yield
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=WRITE_SECONDS_MAX)
        finally:
            watching.kill()


def where_time_goes(stacks: list[str]) -> list[str]:
    """A table: each thread's share of all samples, and those of our functions within it.

    A function's share includes what it calls, once however deep it calls itself. A stack is a line
    of py-spy's raw format: the thread and its frames, outermost first, and a number of samples.
    """
    threads: Counter[str] = Counter()
    functions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for stack in stacks:
        frames, _, samples = stack.rpartition(" ")
        thread, *calls = frames.split(";")
        name = re.sub(r"^thread \(.*?\):? ?|_\d+$", "", thread) or "(no name)"
        threads[name] += int(samples)
        for call in {re.sub(r":\d+\)$", ")", call) for call in calls if OURS.search(call)}:
            functions[name][call] += int(samples)
    everything = threads.total()
    lines = []
    for name, whole in threads.most_common():
        if whole >= THREAD_SHARE_MIN * everything:
            lines.append(f"  {whole / everything:6.1%}  {name}")
            telling = [one for one in functions[name].most_common() if one[1] < MOST * whole]
            for call, within in telling[:ROWS]:
                lines.append(f"  {within / everything:6.1%}      {call}")
    return lines or ["  nothing ran"]


def submit(place: Place, album: Album) -> None:
    """One task a request, 32 connections: the service."""
    with (
        place.database() as urls,
        a_service(place, urls) as service,
        album.recorded("submit-service", service.pid),
    ):
        service.load("submit", connections=CONNECTIONS, seconds=SUBMIT_SECONDS)


def work(place: Place, album: Album) -> None:
    """Tasks end to end, submitted in batches: the service and one SDK worker."""
    with (
        place.database() as urls,
        a_service(place, urls) as service,
        service.worker() as worker,
        album.recorded("work-worker", worker.pid),
        album.recorded("work-service", service.pid),
    ):
        service.tasks(worker, TASKS, batched=True)


def replay(place: Place, album: Album) -> None:
    """The log of tasks that were done, folded into all read models and into each alone."""
    with place.database() as urls:
        with a_service(place, urls) as service, service.worker() as worker:
            service.tasks(worker, TASKS, batched=True)
        words = [place.ours_python, "-m", "benchmarks.jobs.replay"]
        with Child(words, log=place.log) as child:
            child.tell({"owner": urls.owner, "application": urls.application})
            with album.recorded("replay", child.pid):
                child.hear(JOB_SECONDS_MAX)


PATHS: dict[str, Callable[[Place, Album], None]] = {
    "submit": submit,
    "work": work,
    "replay": replay,
}


def main() -> int:
    """0 when every path that was asked for was recorded, 1 when not, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="flame.py", description="Where the time goes.")
    parser.add_argument("path", nargs="?", choices=list(PATHS), help="one of them; all otherwise")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER / "flames", help="where the graphs are written"
    )
    asked = parser.parse_args()
    try:
        with a_place(FOLDER, FULL, None) as place:
            for name in [asked.path] if asked.path else list(PATHS):
                PATHS[name](place, Album(asked.folder))
    except (NotMeasured, ChildFailed) as why:
        print(f"flame: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("flame: stopped; nothing is left running", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
