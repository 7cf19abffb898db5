"""Why: decisions explained, causes and effects, and what another policy would have decided."""

from datetime import datetime
from typing import Any

from musterroll._request import Request, as_it_is, at, command, given, query
from musterroll._routes.history import Moment

REPLAY_SECONDS = 60.0


def why(task_id: str) -> Request[Any]:
    """Every step of a task with the reason for it, as the API shows it: `steps` in order, each
    with a `text`, and those that gave it to an agent with the `decision` and whether it comes out
    again.

    Raises NotFound, Unauthorized, Forbidden or Unavailable.
    """
    return query(at("tasks", task_id, "why"), as_it_is)


def causes(
    cursor: str | int, *, depth: int | None = None, limit: int | None = None
) -> Request[Any]:
    """What led to the event at a cursor (or position), as the API shows it: `items`, each an
    `event` and the cursors of its `causes`, nearest first; `truncated` when there is more.

    Raises NotFound, Invalid, EpochEnded, Unauthorized, Forbidden or Unavailable.
    """
    return query(at("events", str(cursor), "causes"), as_it_is, depth=depth, limit=limit)


def effects(
    cursor: str | int, *, depth: int | None = None, limit: int | None = None
) -> Request[Any]:
    """What came of the event at a cursor, in the same shape. Raises as `causes` does."""
    return query(at("events", str(cursor), "effects"), as_it_is, depth=depth, limit=limit)


def what_if(
    policy: str,
    begin: Moment | None = None,
    end: Moment | None = None,
    *,
    differences: int | None = None,
) -> Request[Any]:
    """The decisions of a range (times or cursors; None: from the first, to now) made again by
    another policy, as the API shows it. Nothing is written.

    Raises Invalid for a policy that there is not, or too long a range; EpochEnded, Unauthorized,
    Forbidden, or Unavailable while somebody else's range is replayed.
    """
    body = given(differences=differences, **{"from": _text(begin), "to": _text(end)})
    return command(
        "/v1/history/whatif", as_it_is, {"policy": policy, **body}, wait_seconds=REPLAY_SECONDS
    )


def _text(moment: Moment | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment
