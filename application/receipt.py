"""What a command returns."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from application.cursor import Cursor
from domain.errors import ControlPlaneError


@dataclass(slots=True, kw_only=True)
class Receipt:
    """The command is in the log, at `cursor`, and nothing can take it back.

    When the command changed nothing, `cursor` is where the log stood. `refusal` is set when what
    was recorded is that the command was refused; `replayed` when this is the first answer of a
    repeated command. `grant` is what an assignment gives to the worker.
    """

    aggregate_id: UUID
    version: int
    cursor: Cursor
    refusal: ControlPlaneError | None = None
    replayed: bool = False
    grant: Any = None
