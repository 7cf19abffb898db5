"""The one payload of every system: JSON of 200 bytes that tells when it was sent."""

import json
from typing import TypedDict

KIND = "bench"
BYTES = 200
BATCH_TASKS = 100


class Payload(TypedDict):
    """`sent_ns`: CLOCK_MONOTONIC when the submit call began, 0 where nobody asks."""

    sent_ns: int
    text: str


def payload(sent_ns: int = 0) -> Payload:
    """A payload that is 200 bytes as JSON."""
    frame = len(json.dumps({"sent_ns": sent_ns, "text": ""}, separators=(",", ":")))
    return {"sent_ns": sent_ns, "text": "x" * (BYTES - frame)}
