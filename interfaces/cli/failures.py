"""How a command fails: an exit code, and one line that says why and what to do."""

import os

DONE = 0
FAILED = 1
WRONG_USAGE = 2
UNREACHABLE = 3
NOT_ALLOWED = 4
NOT_FOUND = 5
INTERRUPTED = 130

# The first line of an error of the service's own is written for people.
_OURS = frozenset({"domain", "application", "infrastructure", "interfaces"})


class Failure(Exception):
    """A command could not do what was asked; the message is its one line."""

    exit_code = FAILED


class Misuse(Failure):
    """The command line itself cannot be right."""

    exit_code = WRONG_USAGE


def debugging() -> bool:
    """Whether the user wants to see where a failure came from."""
    return os.environ.get("MUSTERROLL_DEBUG", "") not in {"", "0"}


def exit_code_of(error: Exception) -> int:
    """The exit code for an error that ended a command."""
    if isinstance(error, Failure):
        return error.exit_code
    from musterroll import errors  # noqa: PLC0415 - its HTTP client takes a while

    codes = (
        (errors.Unavailable, UNREACHABLE),
        (errors.Unauthorized, NOT_ALLOWED),
        (errors.Forbidden, NOT_ALLOWED),
        (errors.NotFound, NOT_FOUND),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), FAILED)


def reason_of(error: Exception) -> str:
    """One line for the user: what was found, and what to do about it."""
    from musterroll import errors  # noqa: PLC0415 - its HTTP client takes a while

    if isinstance(error, Failure | errors.MusterrollError):
        return _one_line(str(error))
    if type(error).__module__.partition(".")[0] in _OURS:
        return str(error).partition("\n")[0]
    if isinstance(error, OSError) and error.strerror:
        return _one_line(
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        )
    kind = type(error).__name__
    return _one_line(f"unexpected {kind}: {error} (MUSTERROLL_DEBUG=1 shows where)")


def _one_line(text: str) -> str:
    return " ".join(text.split())
