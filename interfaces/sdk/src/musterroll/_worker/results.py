"""What a handler returned or raised, as a report's members."""

import re
import traceback
from typing import Any

import orjson

from musterroll._request import encoded
from musterroll.errors import Invalid
from musterroll.task import TaskFailed

RESULT_BYTES_MAX = 256 * 1024
NESTING_MAX = 64
MESSAGE_BYTES_MAX = 4 * 1024
CODE_BYTES_MAX = 100


def completed(result: Any) -> dict[str, Any]:
    """The report of a result, or of why the service would not take it."""
    try:
        content = encoded(result)
    except Invalid as error:
        return failed("invalid_result", f"the result: {error}", retryable=False)
    if len(content) > RESULT_BYTES_MAX:
        found = f"the result has {len(content)} bytes, at most {RESULT_BYTES_MAX} are taken"
        return failed("result_too_large", found, retryable=False)
    fault = _fault(orjson.loads(content), depth=1)
    if fault:
        return failed("invalid_result", fault, retryable=False)
    return {"type": "completed", "result": orjson.Fragment(content)}


def raised(error: BaseException) -> dict[str, Any]:
    """The report of what a handler raised."""
    if isinstance(error, TaskFailed):
        return failed(error.code, error.message or error.code, retryable=error.retryable)
    kind = type(error)
    # Not str(error): that is the user's code too, and may raise in its turn.
    text = "".join(traceback.format_exception_only(error)).strip()
    for name in (f"{kind.__module__}.{kind.__qualname__}", kind.__qualname__):
        text = text.removeprefix(f"{name}: ")
    return failed(snake_case(kind.__name__), text, retryable=True)


def failed(code: str, message: str, *, retryable: bool) -> dict[str, Any]:
    """The report of a failure; a long message loses its end."""
    return {
        "type": "failed",
        "error": {
            "code": bounded(code, CODE_BYTES_MAX) or "error",
            "message": bounded(message),
        },
        "retryable": retryable,
    }


def bounded(message: str, limit: int = MESSAGE_BYTES_MAX) -> str:
    """Text that the service takes: no NUL, nothing that UTF-8 cannot say, at most `limit` bytes."""
    clean = message.replace("\0", "").encode("utf-8", "replace")
    if len(clean) > limit:
        clean = clean[: limit - 3] + "…".encode()
    return clean.decode("utf-8", "ignore")


def snake_case(name: str) -> str:
    """`ValueError` -> `value_error`, `HTTPError` -> `http_error`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.strip("_").lower()


def _fault(value: Any, *, depth: int) -> str | None:
    if isinstance(value, str):
        return "the result holds a NUL character" if "\0" in value else None
    if not isinstance(value, dict | list):
        return None
    if depth > NESTING_MAX:
        return f"the result is nested deeper than {NESTING_MAX} levels"
    members = [*value, *value.values()] if isinstance(value, dict) else value
    return next((fault for m in members if (fault := _fault(m, depth=depth + 1))), None)
