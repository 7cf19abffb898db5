"""What proves that nobody changed the log: signed heads, keys and proofs; and who did what."""

from datetime import datetime
from typing import Any

from musterroll._request import Pages, Request, as_it_is, query
from musterroll._routes._lists import listing
from musterroll.models import Event, Head


def heads(*, limit: int | None = None) -> Pages[Head]:
    """Every signed head of the log, newest first.

    Raises Unauthorized, Forbidden or Unavailable.
    """
    return listing("/v1/audit/heads", Head, limit)


def trail(
    *,
    actor: str | None = None,
    type: str | None = None,  # noqa: A002  the contract's word for it
    since: datetime | str | None = None,
    limit: int | None = None,
) -> Pages[Event]:
    """What people did, asked for and were refused, newest first: `audit.commanded`, `audit.read`,
    `audit.refused`.

    Raises Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return listing("/v1/audit/trail", Event, limit, actor=actor, type=type, since=since)


def keys() -> Request[list[dict[str, Any]]]:
    """The public keys that heads are signed with: `key_id`, `public_key`, `added_at`.

    Raises Unauthorized, Forbidden or Unavailable.
    """
    return query("/v1/audit/keys", lambda payload: list(payload["items"]))


def prove(position: int) -> Request[dict[str, Any]]:
    """That the event at a position is in the log, to be kept as JSON as it is.

    Raises NotFound, Conflict where it is not sealed yet, Unauthorized, Forbidden or Unavailable.
    """
    return query("/v1/audit/proof", as_it_is, position=position)


def prove_growth(old: int, new: int) -> Request[dict[str, Any]]:
    """That the log of one head begins with that of another, by their sizes, to be kept as it is.

    Raises NotFound, Conflict where nothing is sealed so far, Unauthorized, Forbidden or
    Unavailable.
    """
    return query("/v1/audit/proof", as_it_is, **{"from": old, "to": new})
