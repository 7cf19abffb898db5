"""Jobs of the archivist in this process, on the store of a service."""

from typing import Any
from uuid import uuid4

from application.archives.restored import RestoreOrder, order_members
from application.commands import Origin
from domain.audit_trail import Asked
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archives import job_settings
from tests.conftest import Database
from tests.interfaces.service import Service

ORDER = RestoreOrder(
    origin=Origin(tenant="default", actor="user/admin", command_id=uuid4()),
    asked=Asked(address="", method="POST", route="/v1/backups", about={}, request_id=""),
    status=202,
)


def context_of(service: Service, database: Database, **changes: Any) -> JobContext:
    """As the service would tell it to a process of its own; with some other settings."""
    process = service.process
    settings = process.settings.model_copy(update=changes)
    return JobContext(
        {
            **job_settings(settings),
            "database_url": database.url,
            "owner_url": database.owner_url,
            "trusted_keys": [process._seals.signer.key_id],
        }
    )


def request_of(service: Service, archive_id: str, **members: Any) -> dict[str, Any]:
    """For one archive."""
    process = service.process
    return {
        "store_id": str(process.store_id),
        "archive_id": archive_id,
        "epoch": process.epoch,
        "order": order_members(ORDER),
        **members,
    }


def told(stage: str, done: int, total: int) -> None:
    """Nobody listens."""
