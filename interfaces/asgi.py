"""`app`, for any ASGI server: `uvicorn interfaces.asgi:app`. Settings come from the environment."""

from infrastructure.settings import Settings
from interfaces.bootstrap import build
from interfaces.http.app import create_app

app = create_app(build(Settings()))
