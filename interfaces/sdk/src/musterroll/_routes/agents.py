"""Agents: the roster."""

from collections.abc import Mapping, Sequence
from typing import Any

from musterroll._decode import decode
from musterroll._request import Pages, Request, command, given, of, query, receipt, with_id
from musterroll._request import at as path_of
from musterroll._routes._lists import listing
from musterroll._routes.history import Moment
from musterroll.models import Agent, Receipt, Registration, Secret


def register(
    name: str,
    capabilities: Sequence[str],
    *,
    slots: int = 1,
    labels: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Request[Registration]:
    """Register an agent, or bring back a retired one of that name.

    The secret is None when the answer is a repetition (the connection broke at a bad moment):
    rotate it. Raises Conflict when the name is taken (`error.extra["agent_id"]` tells by whom);
    Invalid, Unauthorized, Forbidden or Unavailable.
    """
    body = {"name": name, "capabilities": list(capabilities), "slots": slots}
    return command(
        "/v1/agents",
        lambda payload: decode(Registration, with_id(payload)),
        {**body, **given(labels=labels)},
        idempotency_key=idempotency_key,
    )


def list_(*, limit: int | None = None) -> Pages[Agent]:
    """The roster. Raises Unauthorized, Forbidden or Unavailable."""
    return listing("/v1/agents", Agent, limit)


def get(agent_id: str, *, at: Moment | None = None) -> Request[Agent]:
    """One agent, as it is, or was `at` a moment: a time, a cursor, or its version `v7`.

    Raises Invalid for a moment that it has not had, NotFound, Unauthorized, Forbidden or
    Unavailable.
    """
    return query(path_of("agents", agent_id), of(Agent), at=at)


def change(
    agent_id: str,
    *,
    capabilities: Sequence[str] | None = None,
    slots: int | None = None,
    labels: Mapping[str, str] | None = None,
    if_version: int | None = None,
) -> Request[Receipt]:
    """Change what is not None.

    Raises NotFound, Conflict, Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return command(
        path_of("agents", agent_id),
        receipt,
        given(capabilities=capabilities, slots=slots, labels=labels),
        method="PATCH",
        if_version=if_version,
    )


def drain(
    agent_id: str, *, if_version: int | None = None, idempotency_key: str | None = None
) -> Request[Receipt]:
    """Give an agent no new tasks. Raises NotFound, Conflict, Unauthorized, Forbidden or
    Unavailable."""
    return _decision(agent_id, "drain", if_version, idempotency_key)


def resume(
    agent_id: str, *, if_version: int | None = None, idempotency_key: str | None = None
) -> Request[Receipt]:
    """Give a draining agent tasks again. Raises as `drain` does."""
    return _decision(agent_id, "resume", if_version, idempotency_key)


def retire(
    agent_id: str, *, if_version: int | None = None, idempotency_key: str | None = None
) -> Request[Receipt]:
    """Strike an agent off the roster; its credentials stop working. Raises as `drain` does."""
    return _decision(agent_id, "retire", if_version, idempotency_key)


def rotate_secret(agent_id: str, *, idempotency_key: str | None = None) -> Request[Secret]:
    """Make a new secret; the former one and its tokens stop working at once.

    Raises NotFound, Unauthorized, Forbidden or Unavailable.
    """
    return command(
        path_of("agents", agent_id, "secret"), of(Secret), idempotency_key=idempotency_key
    )


def _decision(
    agent_id: str, verb: str, if_version: int | None, idempotency_key: str | None
) -> Request[Any]:
    return command(
        path_of("agents", agent_id, verb),
        receipt,
        if_version=if_version,
        idempotency_key=idempotency_key,
    )
