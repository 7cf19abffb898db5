"""What there is to say of a job on archives. Processes that do one import this, so it imports
little: a log alone takes them a fifth of a second."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from domain.errors import Conflict, NotFound

JobState = Literal["running", "done", "failed"]


class JobUnderWay(Conflict):
    """One job at a time, and there is one."""

    code = "archive_job_running"
    retry_after_seconds = 5


class JobNotFound(NotFound):
    """This process knows of no such job: it was another's, or long ago."""

    code = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job as it stands. `done` of `total` are events, mostly; `total` is 0 while it is not known.

    `error` is `{"code", "message"}` and the facts of the error, where it failed.
    """

    job_id: UUID
    kind: str
    archive_id: UUID | None
    state: JobState
    stage: str
    done: int
    total: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    began_at: datetime

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        if self.state == "done":
            return 1.0
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0
