"""The route table: every operation there is, one module a resource."""

from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import Operation
from interfaces.http.routes import (
    accounts,
    agents,
    events,
    read_models,
    service,
    stream,
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
        *webhooks.OPERATIONS,
        *stream.OPERATIONS,
        *accounts.OPERATIONS,
        *read_models.OPERATIONS,
    ]
    return operations + service.operations(operations, metrics)
