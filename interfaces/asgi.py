"""`app`, for any ASGI server: `uvicorn interfaces.asgi:app`. Settings come from the environment."""

from interfaces.bootstrap import Settings, build
from interfaces.http.app import create_app

app = create_app(build(Settings()))
