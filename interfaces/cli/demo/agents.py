"""The demo's agents: who they are, and the worker that each of them is.

Each runs as a process of its own, `python -m interfaces.cli.demo.agents NAME`, with credentials of
its own, which it reads from the first line of its standard input. When that input ends, so does
the agent: it never outlives the demo, however the demo ends.
"""

import json
import logging
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interfaces.cli.demo.analysis import (
    Keyword,
    NearDuplicate,
    WordStatistics,
    keywords,
    near_duplicates,
    prose_of,
    word_statistics,
)
from interfaces.cli.demo.files import NotText, is_python, read_text
from musterroll import Task, TaskFailed, Worker
from musterroll.workers import command_worker, openai_worker

GRACE_SECONDS = 2.0
FLAKY_ONE_IN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One agent of the demo. `pace_seconds` is the least time it takes for a task.

    Counting words takes milliseconds and asking a model takes seconds, so each agent is given a
    pace: slow enough to watch, and different enough to see the work go where there is room.
    """

    name: str
    does: str
    capabilities: tuple[str, ...]
    slots: int
    pace_seconds: float


CREW = (
    Member(
        name="wordsmith",
        does="counts words, judges how they read",
        capabilities=("words",),
        slots=4,
        pace_seconds=0.4,
    ),
    Member(
        name="tortoise",
        does="the same, but slowly",
        capabilities=("words",),
        slots=2,
        pace_seconds=2.0,
    ),
    Member(
        name="librarian",
        does="finds keywords",
        capabilities=("keywords",),
        slots=3,
        pace_seconds=0.5,
    ),
    Member(
        name="surveyor",
        does="measures complexity; any program",
        capabilities=("complexity",),
        slots=2,
        pace_seconds=0.1,
    ),
    Member(
        name="twin-finder",
        does="finds look-alikes, and keywords",
        capabilities=("look-alikes", "keywords"),
        slots=2,
        pace_seconds=0.8,
    ),
    Member(
        name="flaky",
        does="words, keywords; fails at times",
        capabilities=("words", "keywords"),
        slots=2,
        pace_seconds=0.5,
    ),
)
SCRIBE = Member(
    name="scribe",
    does="summarizes files with a model",
    capabilities=("summary",),
    slots=2,
    pace_seconds=0.0,
)


class LostInterest(Exception):
    """What the flaky agent fails with. Any exception fails an attempt, and another one follows."""


def count_words(task: Task) -> WordStatistics:
    """`{"path"}` -> how much prose a file holds, and how it reads."""
    return word_statistics(_prose(task))


def find_keywords(task: Task) -> dict[str, list[Keyword]]:
    """`{"path"}` -> what a file is about."""
    return {"keywords": keywords(_prose(task))}


def find_look_alikes(task: Task) -> dict[str, list[NearDuplicate]]:
    """`{"paths": [...]}` -> pairs of these files that say nearly the same."""
    texts = {}
    for path in task.input["paths"]:
        try:
            texts[path] = read_text(Path(path))
        except NotText:
            continue
    return {"pairs": near_duplicates(texts)}


HANDLERS: dict[str, Callable[[Task], Any]] = {
    "words": count_words,
    "keywords": find_keywords,
    "look-alikes": find_look_alikes,
}


def worker_of(member: Member) -> Worker:
    """The worker of one of the crew: a few handlers at its pace, or one that is ready-made."""
    if member.name == "surveyor":
        survey = [sys.executable, "-m", "interfaces.cli.demo.survey"]
        return command_worker(name=member.name, kind="complexity", argv=survey, slots=member.slots)
    worker = Worker(
        name=member.name,
        capabilities=list(member.capabilities),
        slots=member.slots,
        grace_seconds=GRACE_SECONDS,
    )
    for kind in member.capabilities:
        handler = _at_pace(HANDLERS[kind], member.pace_seconds)
        worker.task(kind)(_now_and_then_failing(handler) if member.name == "flaky" else handler)
    return worker


def _prose(task: Task) -> str:
    path = Path(task.input["path"])
    try:
        return prose_of(read_text(path), is_python=is_python(path))
    except NotText as error:
        # Another attempt would find the same, so this fails for good.
        raise TaskFailed("not_text", f"{path}: {error}") from error


def _at_pace(handler: Callable[[Task], Any], seconds: float) -> Callable[[Task], Any]:
    def paced(task: Task) -> Any:
        ends_at = time.monotonic() + seconds
        result = handler(task)
        if seconds > 1:
            task.progress(0.5, "thinking it over")
        time.sleep(max(0.0, ends_at - time.monotonic()))
        return result

    return paced


def _now_and_then_failing(handler: Callable[[Task], Any]) -> Callable[[Task], Any]:
    def failing(task: Task) -> Any:
        if task.attempt == 1 and zlib.crc32(task.id.encode()) % FLAKY_ONE_IN == 0:
            raise LostInterest("lost interest half way")
        return handler(task)

    return failing


def main() -> None:
    """Be one of the crew until the demo is over."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    name, orders = sys.argv[1], json.loads(sys.stdin.readline())
    if name == SCRIBE.name:
        worker = openai_worker(
            name=name,
            kind="summary",
            model=orders["model"],
            base_url=orders["openai_url"],
            slots=SCRIBE.slots,
            api_key=os.environ.get("OPENAI_API_KEY", "none"),
        )
    else:
        worker = worker_of(next(member for member in CREW if member.name == name))
    if not orders["keep"]:
        threading.Thread(target=_stop_with_the_demo, args=(worker,), daemon=True).start()
    worker.connect_to(
        orders["url"],
        client_id=orders["client_id"],
        client_secret=orders["client_secret"],
    ).run()


def _stop_with_the_demo(worker: Worker) -> None:
    sys.stdin.read()
    worker.stop()


if __name__ == "__main__":
    main()
