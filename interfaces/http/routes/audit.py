"""Sealed heads of the log, and proofs: what an auditor takes away to check elsewhere."""

from starlette.responses import Response

from application.seals.proof_files import consistency_members, inclusion_members
from application.seals.proofs import HeadNotFound, NotSealedYet, SealsIncomplete
from domain.errors import EventNotFound
from interfaces.http.errors import InvalidParameter
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import QueryParameters
from interfaces.http.responses import answer
from interfaces.http.schemas.audit import (
    HeadPage,
    HeadParameters,
    KeyPage,
    Proof,
    ProofParameters,
)


async def list_heads(call: Call[None, HeadParameters]) -> Response:
    """GET /v1/audit/heads. One more than asked for tells whether there is another page."""
    await call.require_seen()
    limit = call.parameters.limit
    found = await call.process.proofs.heads(before=call.parameters.cursor, limit=limit + 1)
    items = [head.members() for head in found[:limit]]
    next_cursor = str(items[-1]["size"]) if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def list_keys(call: Call[None, QueryParameters]) -> Response:
    """GET /v1/audit/keys."""
    await call.require_seen()
    keys = await call.process.proofs.keys()
    items = [
        {"key_id": key_id, "public_key": public_key.hex(), "added_at": added_at}
        for key_id, (public_key, added_at) in keys.items()
    ]
    return answer({"items": items})


async def prove(call: Call[None, ProofParameters]) -> Response:
    """GET /v1/audit/proof."""
    await call.require_seen()
    wanted, proofs = call.parameters, call.process.proofs
    match wanted.position, wanted.old, wanted.new:
        case int(position), None, None:
            inclusion = await proofs.inclusion(call.tenant, position)
            return answer(inclusion_members(inclusion, await proofs.keys()))
        case None, int(old), int(new):
            consistency = await proofs.consistency(old, new)
            return answer(consistency_members(consistency, await proofs.keys()))
    raise InvalidParameter("Give position alone, or from and to.")


OPERATIONS = [
    Operation(
        method="GET",
        path="/v1/audit/heads",
        handler=list_heads,
        scope="audit:read",
        summary="List the signed heads of the log, newest first",
        description=(
            "Keep them where nobody who may change the database can: with them every change of "
            "what was sealed before is found. They are of the whole log, and tell of it only how "
            "long it is."
        ),
        parameters=HeadParameters,
        answer=HeadPage,
    ),
    Operation(
        method="GET",
        path="/v1/audit/keys",
        handler=list_keys,
        scope="audit:read",
        summary="List the public keys that heads are signed with",
        parameters=QueryParameters,
        answer=KeyPage,
    ),
    Operation(
        method="GET",
        path="/v1/audit/proof",
        handler=prove,
        scope="audit:read",
        summary="Prove that an event is in the log, or that the log only grew",
        description=(
            "With `position`: the event's canonical bytes and a path to the newest head. With "
            "`from` and `to`, sizes of heads: that the later log begins with the former. "
            "`muster audit check-proof` checks it without the service."
        ),
        parameters=ProofParameters,
        answer=Proof,
        errors=(EventNotFound, HeadNotFound, NotSealedYet, SealsIncomplete),
    ),
]
