"""The past: what happened to one thing, everything as of a moment, and what changed it."""

from datetime import datetime
from typing import Any

from musterroll._decode import decode
from musterroll._request import Pages, Request, as_it_is, at, command, given, query
from musterroll._routes._lists import listing
from musterroll._routes.history import Moment
from musterroll.models import Change, Told

SEARCH_SECONDS = 90.0


def task_history(task_id: str, *, limit: int | None = None) -> Pages[Told]:
    """What happened to a task, event by event, in words.

    Raises NotFound, Unauthorized, Forbidden or Unavailable.
    """
    return listing(at("tasks", task_id, "history"), Told, limit)


def agent_history(agent_id: str, *, limit: int | None = None) -> Pages[Told]:
    """What happened to an agent, event by event, in words. Raises as of a task: NotFound,
    Unauthorized, Forbidden or Unavailable."""
    return listing(at("agents", agent_id, "history"), Told, limit)


def task_diff(task_id: str, begin: Moment, end: Moment | None = None) -> Request[list[Change]]:
    """What changed of a task between two moments: times, cursors, or its versions (`v7`); `end`
    None: now.

    Raises Invalid for a moment that it has not had, NotFound, Unauthorized, Forbidden or
    Unavailable.
    """
    return _diff(at("tasks", task_id, "diff"), begin, end)


def agent_diff(agent_id: str, begin: Moment, end: Moment | None = None) -> Request[list[Change]]:
    """What changed of an agent between two moments. Raises as of a task: Invalid, NotFound,
    Unauthorized, Forbidden or Unavailable."""
    return _diff(at("agents", agent_id, "diff"), begin, end)


def state(
    at: Moment | None = None, *, status: str | None = None, limit: int | None = None
) -> Request[Any]:
    """Everything as of a moment (a time or a cursor; None: now), as the API shows it: counts, a
    page of tasks, agents, queue, bottlenecks, and a digest of it all.

    Raises Invalid for a moment that was not, Unauthorized, Forbidden or Unavailable.
    """
    return query("/v1/state", as_it_is, at=at, status=status, limit=limit)


def bisect(
    predicate: str, *, begin: Moment | None = None, end: Moment | None = None, scan: bool = False
) -> Request[Any]:
    """The first event of a stretch after which a predicate holds, such as `queue.depth > 100`, as
    the API shows it; `scan` looks at every event.

    Raises Invalid (its message names the column), NotFound, Unauthorized, Forbidden or Unavailable.
    """
    body = given(predicate=predicate, scan=scan, **{"from": _text(begin), "to": _text(end)})
    return command("/v1/history/bisect", as_it_is, body, wait_seconds=SEARCH_SECONDS)


def _diff(path: str, begin: Moment, end: Moment | None) -> Request[list[Change]]:
    def parse(payload: Any) -> list[Change]:
        return [
            decode(Change, {**one, "before": one["from"], "after": one["to"]})
            for one in payload["changes"]
        ]

    return query(path, parse, **given(**{"from": begin, "to": end}))


def _text(moment: Moment | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment
