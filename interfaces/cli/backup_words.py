"""Backups in words: sizes, plans, how one stands."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from interfaces.cli.output import ago

Row = Mapping[str, Any]

STAGES = {
    "context": "looking at what there is",
    "plan": "planning",
    "collect": "reading the log",
    "package": "packing",
    "store": "storing",
    "verify": "verifying",
    "replay": "folding tasks and agents",
    "prepare": "making room",
    "load": "loading",
    "index": "making indexes",
    "fold": "computing what is shown",
    "check": "checking",
    "compare": "comparing",
    "switch": "switching",
    "expire": "looking at what may go",
    "sweep": "taking away what nobody needs",
    "drop": "dropping the database again",
}
WAITING = "waiting for the process that leads"


def stage_in_words(stage: str | None) -> str:
    """What is being done; what is not known here is shown as it came."""
    words = STAGES.get(stage, stage) if stage else WAITING
    return words[:1].upper() + words[1:]


def size(count: int | None) -> str:
    """So many bytes: `1.2 MiB`."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def number(count: int | None) -> str:
    """`12,345`."""
    return "-" if count is None else f"{count:,}"


def moment(text: str | None) -> str | None:
    """`2026-11-23 14:03:00 UTC (12 min ago)`."""
    if text is None:
        return None
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC ({ago(text)})"


def proof(row: Row) -> str:
    """How a backup was proved: `level 2, drilled 3 d ago`."""
    if row["level"] is None:
        return "-"
    drilled = row["drilled_at"] and f"drilled {ago(row['drilled_at'])}"
    return ", ".join(filter(None, (f"level {row['level']}", drilled)))


def fields_of(row: Row) -> dict[str, object]:
    """A backup, field by field."""
    error = row["error"]
    return {
        "backup": row["id"],
        "type": row["type"],
        "status": row["status"],
        "stage": _stage(row),
        "up to": _end(row),
        "events": _events(row),
        "size": _size(row),
        "files": row["segments"],
        "proved": None if row["level"] is None else proof(row),
        "started": moment(row["started_at"]),
        "stored after": _took(row),
        "asked for by": row["requested_by"],
        "error": error and f"{error['message']} ({error['code']})",
    }


def plan_fields(plan: Row) -> dict[str, object]:
    """What a restore does, field by field."""
    lost = plan["lost"]
    gone = lost and f"{number(lost['events'])} events after {lost['after']}, up to {lost['until']}"
    if lost:
        gone += f"\nfirst {lost['first_type']} at {lost['first']}, recorded {lost['first_at']}"
    return {
        "backup": plan["archive_id"],
        "back to": _place(plan["position"], plan["time"]),
        "events": f"{number(plan['events'])}, {size(plan['bytes'])} to read",
        "into": f"a store of its own {plan['into']}, which then takes its place",
        "lost": gone or "nothing",
        "epoch": f"{plan['from_epoch']} ends, {plan['to_epoch']} begins: cursors end, workers "
        "lose what they hold, webhooks pause",
        "takes": f"about {duration(plan['estimate_seconds'])}; at its end nobody is served for "
        "some seconds",
    }


def duration(seconds: float) -> str:
    """`4 s`, `12 min`."""
    if seconds < 1:
        return "a second"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _stage(row: Row) -> str | None:
    if row["status"] != "running":
        return None
    return f"{stage_in_words(row['stage']).lower()}, {row['progress']:.0%}"


def _place(position: int, time: str | None) -> str:
    recorded = time and f", recorded {moment(time)}"
    return f"position {number(position)}{recorded or ''}"


def _end(row: Row) -> str | None:
    return None if row["position"] is None else _place(row["position"], row["time"])


def _events(row: Row) -> str | None:
    if row["events"] is None:
        return None
    return f"{number(row['events'])}, of which it wrote {number(row['new_events'])} itself"


def _size(row: Row) -> str | None:
    if row["bytes"] is None:
        return None
    each = f", {row['bytes'] / row['events']:.0f} bytes an event" if row["events"] else ""
    return f"{size(row['bytes'])}{each}; {size(row['new_bytes'])} of it new"


def _took(row: Row) -> str | None:
    if row["stored_at"] is None:
        return None
    began, ended = (datetime.fromisoformat(row[name]) for name in ("started_at", "stored_at"))
    return f"{(ended - began).total_seconds():.1f} s"
