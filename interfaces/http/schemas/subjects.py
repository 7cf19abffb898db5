"""Subjects: whom tasks are about."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from application.erasure.subjects import SubjectStanding
from interfaces.http.schemas.base import CursorOut, documented

SUBJECT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@+=~|-]{0,199}$"

SubjectName = Annotated[
    str,
    StringConstraints(pattern=SUBJECT_PATTERN),
    Field(examples=["customer-4711"]),
]
"""An id of the caller's own. It may stand in a path, so it holds no spaces and no slashes."""


@documented
class SubjectShown(TypedDict):
    """A subject that tasks are, or were, about."""

    subject: str
    subject_id: UUID
    """How the log names it: a pseudonym, which tells nobody who it is."""
    state: Literal["known", "erased"]
    erased_at: datetime | None


@documented
class SubjectReceipt(TypedDict):
    """Its key is destroyed, and the log tells of it."""

    subject_id: UUID
    version: int
    cursor: CursorOut


def subject_of(name: str, standing: SubjectStanding) -> SubjectShown:
    """What is known of a subject."""
    return {
        "subject": name,
        "subject_id": standing.subject_id,
        "state": "erased" if standing.erased_at else "known",
        "erased_at": standing.erased_at,
    }
