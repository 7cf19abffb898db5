"""The route table: every operation there is, one module a resource."""

from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import Operation
from interfaces.http.routes import (
    accounts,
    agents,
    audit,
    audit_trail,
    backups,
    decisions,
    events,
    exports,
    history,
    imports,
    read_models,
    replays,
    service,
    stream,
    subjects,
    tasks,
    tickets,
    tokens,
    webhooks,
    workers,
)


def table(metrics: RequestMetrics) -> list[Operation]:
    """Every operation. What is not listed here is not served."""
    operations = [
        *tokens.OPERATIONS,
        *tickets.OPERATIONS,
        *tasks.OPERATIONS,
        *agents.OPERATIONS,
        *workers.OPERATIONS,
        *events.OPERATIONS,
        *history.OPERATIONS,
        *decisions.OPERATIONS,
        *webhooks.OPERATIONS,
        *stream.OPERATIONS,
        *audit.OPERATIONS,
        *exports.OPERATIONS,
        *imports.OPERATIONS,
        *audit_trail.OPERATIONS,
        *replays.OPERATIONS,
        *backups.OPERATIONS,
        *accounts.OPERATIONS,
        *subjects.OPERATIONS,
        *read_models.OPERATIONS,
    ]
    return operations + service.operations(operations, metrics)
