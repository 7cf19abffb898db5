"""The settings that dispatching follows."""

from datetime import timedelta

from application.processes.leader import Rules
from domain.routing import POLICIES
from infrastructure.settings import Settings


def rules_of(settings: Settings) -> Rules:
    """As the dispatcher takes them."""
    return Rules(
        lease=timedelta(seconds=settings.lease_seconds),
        heartbeat_seconds=settings.heartbeat_seconds,
        offline=timedelta(seconds=settings.offline_seconds),
        ageing_seconds=settings.ageing_seconds,
        policy=POLICIES[settings.routing_policy],
    )
