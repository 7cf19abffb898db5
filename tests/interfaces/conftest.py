"""Fixtures for tests that speak HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Database
from tests.interfaces.service import Service


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """A whole service on a fresh database."""
    with Service(database, tmp_path) as service:
        yield service


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    """Its administrator."""
    with service.client() as client:
        yield client
