"""Read models: what is shown, computed from the log, and computed anew when it has to be."""

from starlette.responses import Response
from typing_extensions import TypedDict

from application.access import Foreign, is_operator
from domain.errors import AlreadyRebuilding, OnStandby, ReadModelNotFound
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer
from interfaces.http.schemas.base import NoBody


class Rebuilding(TypedDict):
    """The read model that is being made anew."""

    read_model: str


async def rebuild(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/read-models/{name}/rebuild. They show every tenant's work: for operators only."""
    if not is_operator(call.principal):
        raise Foreign
    name = call.request.path_params["name"]
    call.concerns(read_model=name)
    call.process.upkeep.rebuild(name)
    return answer({"read_model": name}, 202)


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/read-models/{name}/rebuild",
        handler=rebuild,
        scope="admin",
        summary="Fold a read model anew from the whole log",
        description="`task_board`, `agent_roster` or `activity_feed`. It happens beside the live "
        "one, which goes on answering and is replaced in one step; `/readyz` tells how each fares.",
        body=NoBody,
        body_optional=True,
        status=202,
        answer=Rebuilding,
        errors=(ReadModelNotFound, AlreadyRebuilding, OnStandby),
    ),
]
