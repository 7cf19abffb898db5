"""What all bodies have in common, and the shapes that answers share."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from interfaces.http.fields import CURSOR_PATTERN

documented = with_config(ConfigDict(use_attribute_docstrings=True))
CursorOut = Annotated[str, Field(pattern=CURSOR_PATTERN, examples=["1:4711"])]


class Body(BaseModel):
    """A request's body: strict, and nothing in it that is not known."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    SECRETS: ClassVar[frozenset[str]] = frozenset()
    """Members that leave no trace, not even in a digest."""

    @classmethod
    def canonical(cls, value: dict[str, Any]) -> dict[str, Any]:
        """The members that tell one request from another."""
        if not cls.SECRETS:
            return value
        # Whether a secret was given at all makes another request, and gives nothing away.
        return {
            name: True if name in cls.SECRETS else member
            for name, member in value.items()
            if name not in cls.SECRETS or member is not None
        }


class NoBody(Body):
    """Nothing: `{}`, or no body at all."""


class Refusal(TypedDict):
    """Why one of many was refused; `code` is stable."""

    code: str
    message: str


@documented
class TaskReceipt(TypedDict):
    """The command is in the log."""

    task_id: UUID
    version: int
    """The task's version after it, also the ETag."""
    cursor: CursorOut
    """Where it stands in the log; give it as `seen` to read no older than that."""


@documented
class AgentReceipt(TypedDict):
    """The command is in the log."""

    agent_id: UUID
    version: int
    cursor: CursorOut


class RefusedTask(TypedDict):
    """One of many that was refused."""

    error: Refusal


class TaskOutcomes(TypedDict):
    """One outcome for each, in order."""

    outcomes: list[TaskReceipt | RefusedTask]
