"""One-time tickets, for WebSockets that are opened from where no header can be sent."""

from starlette.responses import Response
from typing_extensions import TypedDict

from interfaces.http.operation import SIGNED_IN, Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer
from interfaces.http.schemas.base import documented


@documented
class TicketAnswer(TypedDict):
    """A ticket."""

    ticket: str
    expires_in: int
    """Seconds; it ends with its token where that is sooner."""


async def issue(call: Call[None, Parameters]) -> Response:
    """POST /v1/ws-tickets."""
    tickets = call.process.tickets
    content = {"ticket": tickets.issue(call.token), "expires_in": tickets.lifetime_seconds}
    return answer(content, 201)


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/ws-tickets",
        handler=issue,
        scope=SIGNED_IN,
        summary="Get a ticket for one WebSocket connection",
        description=(
            "`/ws/v1/events?ticket=...` takes it once, with the rights and the end of the token "
            "that asked for it. A repeated request gets another ticket."
        ),
        status=201,
        answer=TicketAnswer,
    ),
]
