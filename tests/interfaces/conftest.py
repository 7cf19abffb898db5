"""Fixtures for tests that speak HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Database, fresh_database
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


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that all tests of a module share, which takes a second to start: for tests that
    look only at what they made themselves."""
    folder = tmp_path_factory.mktemp("service")
    with fresh_database() as database, Service(database, folder) as service:
        yield service


@pytest.fixture(scope="module")
def shared_admin(shared_service: Service) -> Iterator[httpx.Client]:
    """The administrator of the shared service."""
    with shared_service.client() as client:
        yield client
