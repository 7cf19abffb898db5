"""The log: events, activity, and how the service is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from musterroll._request import Page, Pages, Request, as_it_is, command, encoded, page_of, query
from musterroll._routes._lists import listing
from musterroll.models import Activity, Event

PAGE_EVENTS_MAX = 1_000


def log(
    *,
    after: str | None = None,
    until: str | None = None,
    type: str | None = None,  # noqa: A002  the contract's word for it
    aggregate_id: str | None = None,
    limit: int | None = None,
) -> Pages[Event]:
    """Events in log order, after one cursor (None: from the start) and until another (None: now).

    Raises EpochEnded when a cursor is older than a restore; Invalid, Unauthorized, Forbidden or
    Unavailable.
    """
    size = PAGE_EVENTS_MAX if limit is None else max(1, min(limit, PAGE_EVENTS_MAX))
    first = query(
        "/v1/events",
        page_of(Event),
        after=after,
        until=until,
        type=type,
        aggregate_id=aggregate_id,
        limit=size,
    )

    def following(page: Page[Event]) -> Request[Page[Event]] | None:
        # next_cursor is always where to go on; an empty page is the end.
        if not (page.items and page.next_cursor):
            return None
        return replace(first, query={**first.query, "after": page.next_cursor})

    return Pages(first=first, following=following, limit=limit)


def activity(*, limit: int | None = None) -> Pages[Activity]:
    """What happened, in sentences, newest first.

    Raises Unauthorized, Forbidden or Unavailable.
    """
    return listing("/v1/activity", Activity, limit)


def health() -> Request[dict[str, Any]]:
    """Whether the service lives; needs no credentials and is not retried. Raises Unavailable."""
    return _open("/healthz")


def ready() -> Request[dict[str, Any]]:
    """Whether the service can work; needs no credentials and is not retried. Raises Unavailable
    with the reason when it cannot."""
    return _open("/readyz")


def metrics() -> Request[str]:
    """Figures in the format of Prometheus. Raises Unavailable."""
    return _open("/metrics")


def request(
    method: str,
    path: str,
    *,
    json: Any = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    wait_seconds: float = 0.0,
) -> Request[Any]:
    """Ask any route, with this client's token, retries and cursor; the answer is decoded JSON, or
    text where it is none, or None where it is empty. `wait_seconds` is how much longer than usual
    an answer may take. Raises every error but TimedOut.
    """
    asked = command(
        path,
        as_it_is,
        None if json is None else encoded(json),
        method=method.upper(),
        idempotency_key=idempotency_key,
        wait_seconds=wait_seconds,
    )
    return replace(asked, query=dict(params or {}), headers={**asked.headers, **(headers or {})})


def _open(path: str) -> Request[Any]:
    return replace(query(path, as_it_is), authorized=False, retry_seconds=0.0)
