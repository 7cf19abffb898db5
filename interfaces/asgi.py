"""`app`, for any ASGI server: `uvicorn interfaces.asgi:app`. Settings come from the environment."""

import logging

from interfaces.bootstrap import Settings, build
from interfaces.http.app import create_app


def _without_query(record: logging.LogRecord) -> bool:
    """uvicorn writes down the whole path of a WebSocket, and a ticket may stand in its query."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            one.partition("?")[0] if isinstance(one, str) else one for one in record.args
        )
    return True


logging.getLogger("uvicorn.error").addFilter(_without_query)
app = create_app(build(Settings()))
