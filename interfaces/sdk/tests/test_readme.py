"""The README names what there is, and all of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from musterroll import Client, _groups, errors, workers
from musterroll.worker import Worker

README = (Path(__file__).parents[1] / "README.md").read_text()
GROUPS = {
    "tasks": _groups.Tasks,
    "agents": _groups.Agents,
    "users": _groups.Users,
    "clients": _groups.Clients,
    "subjects": _groups.Subjects,
    "audit": _groups.Audit,
}


def public(kind: type[Any]) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize("group", GROUPS)
def test_every_call_is_in_the_readme_and_no_other(group: str) -> None:
    named = set(re.findall(rf"`{group}\.(\w+)\(", README))

    assert named == public(GROUPS[group])


def test_every_method_of_the_client_is_in_the_readme() -> None:
    members = (public(Client) | {"url", "seen"}) - GROUPS.keys()

    assert [name for name in members if not re.search(rf"`{name}[(`]", README)] == []


@pytest.mark.parametrize("kind", errors.MusterrollError.__subclasses__())
def test_every_kind_of_error_is_in_the_readme(kind: type[Exception]) -> None:
    assert f"| `{kind.__name__}` |" in README


@pytest.mark.parametrize("name", workers.__all__)
def test_every_ready_made_worker_is_in_the_readme(name: str) -> None:
    assert f"- `{name}(url=None, *, name, kind," in README


def test_every_option_of_a_worker_is_in_the_readme() -> None:
    options = Worker.__init__.__annotations__.keys() - {"return"}

    assert [option for option in options if f"{option}" not in README] == []
