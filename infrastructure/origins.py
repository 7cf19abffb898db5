"""Origins of web pages, as a browser names them (RFC 6454, section 6.2)."""

import re
from typing import Any

import orjson

ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?)"
    r"(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_from(text: str) -> str:
    """The origin in the one spelling that a browser sends: lower case, without a default port.

    Raises ValueError for what no page can have: a path, `*`, `null`, another scheme.
    """
    # Some letters beyond ASCII are ASCII in lower case.
    found = ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    if found is None or int(found["port"] or 1) not in range(1, 65_536):
        raise ValueError("an origin is a scheme and a host, such as https://example.org:8443")
    scheme, host, port = found.groups()
    if port is None or int(port) == DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


def listed(value: Any) -> Any:
    """The members of one text with commas, or of a list in JSON; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError("this list is no JSON") from None
    return [part.strip() for part in value.split(",") if part.strip()]
