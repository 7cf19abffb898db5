"""The past: replays and exports."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from musterroll._request import Request, as_it_is, at, command, given, nothing, query

IMPORT_SECONDS_MAX = 60.0
Moment = datetime | str
"""A time, or a cursor, or either as text."""


def open_replay(
    begin: Moment, end: Moment | None, *, speed: float, gap_seconds_max: float | None
) -> Request[Mapping[str, Any]]:
    body = given(speed=speed, gap_seconds_max=gap_seconds_max, to=_text(end))
    return command("/v1/replays", as_it_is, {"from": _text(begin), **body})


def remove_replay(replay_id: str) -> Request[None]:
    return command(at("replays", replay_id), nothing, method="DELETE")


def export(
    begin: Moment | None, end: Moment | None, *, sign: bool, of: Iterable[str]
) -> Request[Any]:
    """The request, to be read as it comes."""
    parameters = given(
        **{"from": _text(begin), "to": _text(end), "sign": "true" if sign else None},
        aggregate_id=list(of) or None,
    )
    return query("/v1/events/export", as_it_is, **parameters)


def import_events(
    export: bytes,
    *,
    trusted: Iterable[str] = (),
    subjects: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Request[Mapping[str, Any]]:
    """Take a signed export of histories into the log, all of it or nothing; what is there already
    is skipped. `{"events", "aggregates", "skipped", "cursor"}`.

    `trusted` are the ids of the keys that exports are believed for, beside the service's own;
    `subjects` the names of subjects by the ids that they have in the export.

    Raises Invalid, Conflict, Unauthorized, Forbidden or Unavailable.
    """
    asked = command(
        "/v1/events/import",
        as_it_is,
        export,
        idempotency_key=idempotency_key,
        wait_seconds=IMPORT_SECONDS_MAX,
    )
    pairs = [f"{one}={name}" for one, name in (subjects or {}).items()]
    return replace(
        asked,
        query=given(trusted=list(trusted) or None, subject=pairs or None),
        headers={**asked.headers, "Content-Type": "application/x-ndjson"},
    )


def _text(moment: Moment | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment
