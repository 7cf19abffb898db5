"""Subjects: whom tasks are about, and how what is personal of them is erased."""

import re

from starlette.responses import Response

from application.commands.subjects import EraseSubject
from application.erasure.errors import ErasureNotKept, SubjectNotFound
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer, receipt_answer
from interfaces.http.schemas.base import NoBody
from interfaces.http.schemas.subjects import (
    SUBJECT_PATTERN,
    SubjectReceipt,
    SubjectShown,
    subject_of,
)
from interfaces.http.scope import concerns


async def show(call: Call[None, Parameters]) -> Response:
    """GET /v1/subjects/{subject}."""
    name = _name_in(call)
    return answer(subject_of(name, await call.process.subjects.show(call.tenant, name)))


async def erase(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/subjects/{subject}/erase."""
    process, origin = call.process, call.origin()
    subject_id = await process.subjects.destroy_key(
        call.tenant,
        _name_in(call),
        actor=origin.actor,
        expected_version=origin.expected_version,
    )
    concerns(call.request.scope, subject_id=subject_id)
    command = EraseSubject(origin=origin, subject_id=subject_id)
    return receipt_answer(await process.commands.execute(command, call.key), "subject_id")


def _name_in(call: Call[None, Parameters] | Call[NoBody, Parameters]) -> str:
    """Raises SubjectNotFound for what no task can be about."""
    name: str = call.request.path_params["subject"]
    if not re.fullmatch(SUBJECT_PATTERN, name):
        raise SubjectNotFound
    return name


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/subjects/{subject}",
        handler=show,
        scope="admin",
        summary="Show whether a subject was erased",
        answer=SubjectShown,
        errors=(SubjectNotFound,),
        audited=True,
    ),
    Operation(
        method="POST",
        path="/v1/subjects/{subject}/erase",
        handler=erase,
        scope="admin",
        summary="Erase what is personal of a subject",
        description=(
            "Its key is destroyed, for good: the input, result, messages and reasons of its tasks "
            "are `[erased]` from then on, in every answer, stream, webhook and export, and no task "
            "is taken about it any more. Kinds, labels, times and numbers stay. Other processes "
            "hear of it within a second. Once more changes nothing."
        ),
        body=NoBody,
        body_optional=True,
        answer=SubjectReceipt,
        errors=(SubjectNotFound, ErasureNotKept),
        versioned=True,
    ),
]
