"""Ready-made workers: a program, a webhook, a model. Each factory returns a configured `Worker`."""

from musterroll.workers.command import command_worker
from musterroll.workers.http import http_worker
from musterroll.workers.openai import openai_worker

__all__ = ["command_worker", "http_worker", "openai_worker"]
