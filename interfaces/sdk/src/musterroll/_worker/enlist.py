"""How a worker becomes its agent: by the credentials it was given."""

import base64
import binascii
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from musterroll._connection import Credentials
from musterroll.client import AsyncClient
from musterroll.errors import Conflict, MusterrollError, Unavailable

log = logging.getLogger("musterroll")

SECRET_TRIES_MAX = 3


@dataclass(frozen=True, slots=True)
class Enlisted:
    """An agent at a service, and the credentials to work as it."""

    agent_id: str
    url: str
    credentials: Credentials


async def enlist(
    client: AsyncClient,
    *,
    name: str,
    capabilities: Sequence[str],
    slots: int,
    labels: Mapping[str, str] | None,
) -> Enlisted:
    """Be the agent whose token this is; else register one by name, or take over the one there is.

    Raises Unauthorized, Forbidden, Invalid or Unavailable.
    """
    agent_id = agent_of(await client.token())
    if agent_id is not None:
        return Enlisted(agent_id, client.url, client._session.connection.credentials)
    try:
        made = await client.agents.register(name, capabilities, slots=slots, labels=labels)
    except Conflict as conflict:
        agent_id = _taken_by(conflict)
        await client.agents.change(agent_id, capabilities=capabilities, slots=slots, labels=labels)
        log.info("agent %s exists already: taken over with a new secret", name)
    else:
        if made.client_secret is not None:
            return _enlisted(client, made.id, made.client_id, made.client_secret)
        agent_id = made.id
    return await _with_new_secret(client, agent_id)


def agent_of(token: str) -> str | None:
    """The agent that a token (a JWT) was made for, or None. The service judges the token; this
    only reads it."""
    try:
        _, payload, _ = token.split(".")
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return None
    agent_id = claims.get("agent_id") if isinstance(claims, dict) else None
    return agent_id if isinstance(agent_id, str) else None


def _taken_by(conflict: MusterrollError) -> str:
    agent_id = conflict.extra.get("agent_id")
    if conflict.code != "agent_exists" or not isinstance(agent_id, str):
        raise conflict
    return agent_id


async def _with_new_secret(client: AsyncClient, agent_id: str) -> Enlisted:
    # The secret is shown once: when that answer was lost on its way, another one is made.
    for _ in range(SECRET_TRIES_MAX):
        secret = await client.agents.rotate_secret(agent_id)
        if secret.client_secret is not None:
            return _enlisted(client, agent_id, secret.client_id, secret.client_secret)
    raise Unavailable("the agent's new secret was lost on its way", code="secret_lost")


def _enlisted(client: AsyncClient, agent_id: str, client_id: str, secret: str) -> Enlisted:
    own = Credentials(client_id=client_id, client_secret=secret)
    return Enlisted(agent_id, client.url, own)
