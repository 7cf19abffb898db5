"""Every command and every option of `muster` says what it is for."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from interfaces.cli.main import app


def commands(command: Any, path: str = "muster") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def test_every_command_is_documented() -> None:
    undocumented = [path for path, command in commands(get_command(app)) if not command.help]

    assert undocumented == []


def test_every_option_is_documented() -> None:
    undocumented = [
        f"{path} {parameter.name}"
        for path, command in commands(get_command(app))
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.help
    ]

    assert undocumented == []
