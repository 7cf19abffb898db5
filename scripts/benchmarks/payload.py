"""The one payload of every system: JSON of 200 bytes that tells when it was sent."""

from typing import TypedDict

KIND = "bench"
BYTES = 200
BATCH_TASKS = 100
_TEXT = "x" * (BYTES - len('{"sent_ns":,"text":""}'))


class Payload(TypedDict):
    """`sent_ns`: CLOCK_MONOTONIC when the submit call began, 0 where nobody asks."""

    sent_ns: int
    text: str


def payload(sent_ns: int = 0) -> Payload:
    """A payload that is 200 bytes as JSON without spaces.

    Made once for every task within what is measured, so it may not cost what a queue costs.
    """
    return {"sent_ns": sent_ns, "text": _TEXT[len(str(sent_ns)) :]}
