"""Which endpoint serves a path."""

from collections.abc import Awaitable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from interfaces.http.errors import NoSuchPath

PARAMETER = "{}"

Segments = tuple[str, ...]


class Paths:
    """An ASGI application: the endpoints under their paths, found by one look-up or two.

    A path as declared holds at most one parameter, which stands for one segment that is not empty;
    a path without a parameter comes first, so that `/tasks/counts` is no task.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp]) -> None:
        self._plain: dict[str, ASGIApp] = {}
        self._with_parameter: dict[Segments, tuple[str, ASGIApp]] = {}
        places = set()
        for path, endpoint in endpoints.items():
            if "{" not in path:
                self._plain[path] = endpoint
                continue
            segments = tuple(path.split("/"))
            (place,) = [place for place, segment in enumerate(segments) if "{" in segment]
            places.add(place)
            name = segments[place].strip("{}")
            self._with_parameter[_shape(segments, place)] = (name, endpoint)
        self._places = sorted(places)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. Raises NoSuchPath, and what the endpoint raises."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        endpoint = self._plain.get(path)
        if endpoint is None:
            endpoint, scope["path_params"] = self._find(tuple(path.split("/")))
        return endpoint(scope, receive, send)

    def _find(self, segments: Segments) -> tuple[ASGIApp, dict[str, str]]:
        for place in self._places:
            if place < len(segments) and segments[place]:
                found = self._with_parameter.get(_shape(segments, place))
                if found is not None:
                    name, endpoint = found
                    return endpoint, {name: segments[place]}
        raise NoSuchPath


def _shape(segments: Segments, place: int) -> Segments:
    return (*segments[:place], PARAMETER, *segments[place + 1 :])
