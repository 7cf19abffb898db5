"""What is personal in an export stands there in clear: it is sealed anew, under our own keys."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from application.erasure.sealed import ERASED, INPUT, LOCKED, PERSONAL, TEXT
from application.erasure.sealing import Sealing
from application.imports.lines import Line
from application.imports.refusals import ExportLocked, SubjectsUnknown
from domain.aggregate import Aggregate
from domain.task import Task

SUBMITTED = Task.Submitted.TOPIC


def subjects_of(
    lines: Iterable[Line],
    present: Mapping[UUID, Aggregate],
    given: Mapping[UUID, UUID],
    *,
    without_key: Iterable[UUID],
) -> dict[UUID, UUID]:
    """By the other installation's pseudonyms, who the subjects are here: as it was `given`, or as
    the task stands here already. One of whom everything was erased, and who has no key here, keeps
    the pseudonym: there is nothing left to seal.

    Raises SubjectsUnknown.
    """
    lines = list(lines)
    known, keyless = dict(given), set(without_key)
    about = {one.aggregate_id: one.subject_id for one in lines if one.subject_id}
    telling = {about[one.aggregate_id] for one in lines if one.tells and one.aggregate_id in about}
    unknown = set()
    for task_id, subject_id in about.items():
        assert subject_id is not None
        task = present.get(task_id)
        is_own = isinstance(task, Task) and task.subject_id == subject_id
        is_erased = subject_id in keyless and subject_id not in telling
        if is_own or is_erased:
            known.setdefault(subject_id, subject_id)
        elif subject_id not in known:
            unknown.add(subject_id)
    unknown -= known.keys()
    if unknown:
        raise SubjectsUnknown(unknown)
    return known


def sealed(line: Line, data: dict[str, Any], task: Task | None, sealing: Sealing) -> None:
    """Seal what is personal in the data of an event that is new here; `task` is as it stands
    before it, None before its submission, whose data tells the subject.

    What was erased stays so. Raises ExportLocked, SubjectErased, SubjectLocked.
    """
    if task is None:
        subject_id = UUID(data["subject_id"]) if data.get("subject_id") else None
    else:
        subject_id = task.subject_id
    if subject_id is None:
        return
    for name, sort in PERSONAL.get(line.topic, {}).items():
        value = data.get(name)
        if value == LOCKED:
            raise ExportLocked(line.number)
        if value is None or value == ERASED:
            continue
        if task is None:
            assert sort == INPUT, "of a submission nothing else is personal"
            data[name] = sealing.input(subject_id, line.aggregate_id, value)
        else:
            seal = sealing.text if sort == TEXT else sealing.result
            data[name] = seal(task, value)


def without_erased(
    topic: str, here: dict[str, Any], there: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the personal fields that were erased in either: these cannot be compared."""
    erased = {n for n in PERSONAL.get(topic, ()) if ERASED in (here.get(n), there.get(n))}
    return (
        {name: value for name, value in here.items() if name not in erased},
        {name: value for name, value in there.items() if name not in erased},
    )
