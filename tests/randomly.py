"""Random tests that come again: hypothesis draws from the seed of the run, and has no deadline."""

import os
from collections.abc import Callable
from typing import TypeVar

import hypothesis
from hypothesis import HealthCheck

from tests.conftest import SEED

TestT = TypeVar("TestT", bound=Callable[..., None])

SETTINGS = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def repeatably(test: TestT) -> TestT:
    """Draw from the seed that the run printed."""
    seeded: TestT = hypothesis.seed(int(os.environ[SEED]))(SETTINGS(test))
    return seeded
