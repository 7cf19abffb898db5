"""The past: replays and exports."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from musterroll._request import Request, as_it_is, at, command, given, nothing, query

Moment = datetime | str
"""A time, or a cursor, or either as text."""


def open_replay(
    begin: Moment, end: Moment | None, *, speed: float, gap_seconds_max: float | None
) -> Request[Mapping[str, Any]]:
    body = given(speed=speed, gap_seconds_max=gap_seconds_max, to=_text(end))
    return command("/v1/replays", as_it_is, {"from": _text(begin), **body})


def remove_replay(replay_id: str) -> Request[None]:
    return command(at("replays", replay_id), nothing, method="DELETE")


def export(begin: Moment | None, end: Moment | None, *, sign: bool) -> Request[Any]:
    """The request, to be read as it comes."""
    parameters = given(**{"from": _text(begin), "to": _text(end)})
    return query("/v1/events/export", as_it_is, **parameters, sign="true" if sign else None)


def _text(moment: Moment | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment
