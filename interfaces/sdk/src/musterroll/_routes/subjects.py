"""Subjects: whom tasks are about."""

from musterroll._request import Request, at, command, of, query, receipt
from musterroll.models import Receipt, Subject


def get(subject: str) -> Request[Subject]:
    """Whether a subject was erased. Raises NotFound, Unauthorized, Forbidden or Unavailable."""
    return query(at("subjects", subject), of(Subject))


def erase(subject: str, *, idempotency_key: str | None = None) -> Request[Receipt]:
    """Erase what is personal of a subject, for good: the input, result, messages and reasons of
    its tasks are `[erased]` from then on, everywhere. Once more changes nothing.

    Raises NotFound, Unauthorized, Forbidden or Unavailable.
    """
    return command(at("subjects", subject, "erase"), receipt, idempotency_key=idempotency_key)
