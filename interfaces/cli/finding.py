"""What a check found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `muster doctor`; `advice` says what to do unless all is well."""

    subject: str
    level: Literal["ok", "warn", "fail"]
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(subject=subject, level="ok", text=text)


def warn(subject: str, text: str, advice: str) -> Finding:
    """It works, but."""
    return Finding(subject=subject, level="warn", text=text, advice=advice)


def fail(subject: str, text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(subject=subject, level="fail", text=text, advice=advice)
