"""History: past moments, decisions and seals, each on a large log of its own making."""

from collections.abc import Callable
from typing import Any

from benchmarks.place import Place

Record = Callable[[str, float], None]

JOB_SECONDS_MAX = 1_800.0


def frames(place: Place, record: Record) -> None:
    """Freeze frames at random positions, how frames are kept, and a bisect."""
    effort = place.effort
    told = {"events": effort.history_events, "positions": effort.history_positions}
    _take(place, record, "frames", told)


def decisions(place: Place, record: Record) -> None:
    """Why, and what if."""
    _take(place, record, "history_decisions", {"decisions": place.effort.history_decisions})


def seals(place: Place, record: Record) -> None:
    """What sealing costs who appends, and how fast a log is sealed and verified."""
    effort = place.effort
    told = {
        "rounds": effort.history_seal_rounds,
        "seconds": effort.history_seal_seconds,
        "events": effort.history_events,
    }
    _take(place, record, "seals", told)


def _take(place: Place, record: Record, job: str, told: dict[str, Any]) -> None:
    """Record every figure that a job answers; one that it took often, each time."""
    with place.database() as urls:
        told |= {
            "owner": urls.owner,
            "application": urls.application,
            "data_dir": str(place.new_folder()),
        }
        found = place.job(job, told, seconds_max=JOB_SECONDS_MAX)
    for figure, value in found.items():
        for one in value if isinstance(value, list) else [value]:
            record(f"history.{figure}", one)


HISTORY_GROUPS = {
    "history_frames": frames,
    "history_decisions": decisions,
    "history_seals": seals,
}
