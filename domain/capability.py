"""What an agent can do, and what a task asks for: plain names, compared as sets."""

from collections.abc import Iterable


def can_do(capabilities: Iterable[str], requires: Iterable[str]) -> bool:
    """Whether somebody with these capabilities meets every requirement."""
    return set(requires) <= set(capabilities)
