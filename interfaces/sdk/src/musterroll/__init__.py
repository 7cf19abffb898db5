"""Write agents for Musterroll, and submit work to it.

`Worker` runs handlers, which get a `Task` and may raise `TaskFailed`; `Client` and `AsyncClient`
speak to the service. Errors are in `musterroll.errors`, answers in `musterroll.models`, ready-made
workers in `musterroll.workers`.
"""

from musterroll.client import AsyncClient, Client
from musterroll.errors import MusterrollError
from musterroll.task import Task, TaskFailed
from musterroll.worker import Worker

__all__ = ["AsyncClient", "Client", "MusterrollError", "Task", "TaskFailed", "Worker"]
