"""From chosen files to tasks: what is asked of the agents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path

from interfaces.cli.demo.files import NotText, Selection, is_python, read_text
from musterroll.models import NewTask

BLOCKS_MAX = 5
BLOCK_FILES_MIN = 8
LOOK_ALIKE_TASKS_MAX = BLOCKS_MAX * (BLOCKS_MAX - 1) // 2
TASKS_PER_FILE = 3
SUMMARIES_MAX = 5
SUMMARIZED_CHARACTERS = 2_000
MAX_ATTEMPTS = 5
TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task of the demo. `file` is relative to the folder; empty where it is about many."""

    kind: str
    label: str
    file: str
    task: NewTask


def files_for(tasks: int) -> int:
    """How many files make about so many tasks."""
    return max(2, (tasks - LOOK_ALIKE_TASKS_MAX) // TASKS_PER_FILE)


def jobs_for(selection: Selection, *, with_summaries: bool) -> list[Job]:
    """Everything that is asked about the chosen files, the kinds well mixed."""
    about_files = [
        _job(kind, path, selection, {"path": str(path)})
        for path in selection.files
        for kind in ("words", "keywords", "complexity")
        if kind != "complexity" or is_python(path)
    ]
    about_many = [_look_alikes(paths) for paths in _every_pair_together(selection.files)]
    if with_summaries:
        about_many += list(_summaries(selection))
    spacing = max(1, len(about_files) // max(1, len(about_many)))
    rows = [about_files[start : start + spacing] for start in range(0, len(about_files), spacing)]
    return [
        job
        for row, other in zip_longest(rows, about_many)
        for job in [*(row or []), *([other] if other else [])]
    ]


def relative_to(root: Path, path: Path) -> str:
    """The name of a file below a folder; of the folder itself where it is one file."""
    return str(path.relative_to(root)) if path != root else path.name


def counted(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _job(kind: str, path: Path, selection: Selection, given: dict[str, str]) -> Job:
    file = relative_to(selection.root, path)
    return Job(kind=kind, label=f"{kind} of {file}", file=file, task=_task(kind, given))


def _look_alikes(paths: Sequence[Path]) -> Job:
    given = {"paths": [str(path) for path in paths]}
    label = f"look-alikes among {len(paths)} files"
    return Job(kind="look-alikes", label=label, file="", task=_task("look-alikes", given))


def _every_pair_together(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Groups of files such that every two files meet in one of them."""
    blocks = min(BLOCKS_MAX, len(files) // BLOCK_FILES_MIN)
    if blocks < 3:
        if len(files) > 1:
            yield list(files)
        return
    parts = [files[number::blocks] for number in range(blocks)]
    for first, second in combinations(parts, 2):
        yield [*first, *second]


def _summaries(selection: Selection) -> Iterator[Job]:
    step = max(1, len(selection.files) // SUMMARIES_MAX)
    for path in selection.files[::step][:SUMMARIES_MAX]:
        try:
            beginning = read_text(path)[:SUMMARIZED_CHARACTERS]
        except NotText:
            continue
        prompt = f"Say in one sentence what this file is for.\n\n{beginning}"
        yield _job("summary", path, selection, {"prompt": prompt})


def _task(kind: str, given: object) -> NewTask:
    return {
        "kind": kind,
        "input": given,
        "max_attempts": MAX_ATTEMPTS,
        "timeout_seconds": TIMEOUT_SECONDS,
        "labels": {"demo": "yes"},
    }
