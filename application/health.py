"""How the process is: ready or not, and its figures."""

import asyncio
from collections.abc import Sequence
from typing import Any

from application.archives.alarm import BackupAlarm
from application.duties import Duty
from application.follower import SHOWN
from application.ports import EventLog
from application.processes.leader import Leader
from application.seals.sealer import SEALED
from application.time_travel.keeper import FrameKeeper
from application.watermarks import LOG, Watermarks
from application.writer import Writer
from domain.errors import DatabaseUnavailable

LAG_EVENTS_MAX = 10_000

Figures = dict[str, tuple[str, dict[str, float] | float]]
"""By name: what it is, and its value or, by a label, its values."""


class Health:
    """Looks at the parts of a process. `live` are those of its duties that live events need."""

    def __init__(
        self,
        log: EventLog,
        writer: Writer,
        leader: Leader,
        watermarks: Watermarks,
        *,
        live: Sequence[Duty],
        sealing: Duty,
        keeper: FrameKeeper,
        backups: BackupAlarm,
        backing_up: Sequence[Duty],
        duties: Sequence[Duty],
    ) -> None:
        self._log = log
        self._writer = writer
        self._leader = leader
        self._watermarks = watermarks
        self._live = live
        self._sealing = sealing
        self._keeper = keeper
        self._backups = backups
        self._backing_up = backing_up
        self._duties = duties

    async def readiness(self) -> dict[str, Any]:
        """`{"ready": bool, "checks": {name: {"ok": bool, ...}}}`.

        Ready when the database answers, this process leads, and its read models and live events
        are near the head. Sealing is shown, and keeps nobody from being served when it fails; so
        are frames that differ from what the read models were, and backups that are late.
        """
        try:
            head = await asyncio.to_thread(self._log.head)
        except DatabaseUnavailable:
            return {"ready": False, "checks": {"database": {"ok": False}}}
        models = {
            model.name: {
                "ok": model.stopped_before is None and lag <= LAG_EVENTS_MAX,
                "lag_events": lag,
                "stopped_before": model.stopped_before,
            }
            for model in self._leader.upkeep.followed
            for lag in [self._lag(model.name, head)]
        }
        leading = self._leader.leading
        checks = {
            "database": {"ok": True},
            "dispatcher": {"ok": leading},
            "live_events": self._live_events(head),
            **models,
        }
        ready = all(check["ok"] for check in checks.values())
        return {
            "ready": ready,
            "checks": {
                **checks,
                "seals": self._seals(head),
                "frames": self._frames(),
                "backups": self._backups.readiness(
                    failing=any(duty.failing for duty in self._backing_up)
                ),
            },
        }

    def figures(self) -> Figures:
        """What is worth a curve."""
        head = self._watermarks.position(LOG)
        lag = {name: float(self._lag(name, head)) for name in self._leader.upkeep.names}
        figures: Figures = {
            "log_position": ("Newest position of the log that this process knows", float(head)),
            "read_model_lag_events": ("How far each read model is behind the log", lag),
            "live_lag_events": (
                "How far the live events are behind the log",
                float(self._lag(SHOWN, head)),
            ),
            "frames_unequal": (
                "Positions at which a fold of the log differs from what the read models were",
                float(self._keeper.unequal),
            ),
            "backup_age_seconds": (
                "How long ago an archive was last verified; 0 where none ever was",
                self._backups.age_seconds,
            ),
            "backup_unprotected_seconds": (
                "For how long an event has been in no verified archive",
                self._backups.unprotected_seconds,
            ),
            "backup_late": (
                "1 while that is longer than two intervals",
                float(self._backups.ringing),
            ),
            "duty_failing": (
                "1 while work in the background keeps failing",
                {duty.name: float(duty.failing) for duty in self._duties},
            ),
            "commands_waiting": ("Commands that wait for the writer", float(self._writer.waiting)),
            "leading": ("1 while this process dispatches", float(self._leader.leading)),
        }
        if self._leader.leading:
            # Others are told of no seals.
            lag_events = float(self._lag(SEALED, head))
            figures["seal_lag_events"] = ("How far the seals are behind the log", lag_events)
        if self._leader.dispatcher is not None:
            floor = self._leader.dispatcher.floor
            held = sum(len(agent.held) for agent in floor.agents.values())
            online = sum(agent.online for agent in floor.agents.values())
            figures["tasks_open"] = ("Tasks that have not ended", float(len(floor.tasks)))
            figures["tasks_ready"] = ("Tasks that wait for an agent", float(len(floor.ready)))
            figures["leases_held"] = ("Leases outstanding", float(held))
            figures["agents_online"] = ("Agents heard of lately", float(online))
        return figures

    def _live_events(self, head: int) -> dict[str, Any]:
        lag = self._lag(SHOWN, head)
        failing = any(duty.failing for duty in self._live)
        return {"ok": lag <= LAG_EVENTS_MAX and not failing, "lag_events": lag, "failing": failing}

    def _seals(self, head: int) -> dict[str, Any]:
        lag, failing = self._lag(SEALED, head), self._sealing.failing
        return {"ok": lag <= LAG_EVENTS_MAX and not failing, "lag_events": lag, "failing": failing}

    def _frames(self) -> dict[str, Any]:
        return {"ok": not self._keeper.unequal, "unequal": self._keeper.unequal}

    def _lag(self, model: str, head: int) -> int:
        return max(head - self._watermarks.position(model), 0)
