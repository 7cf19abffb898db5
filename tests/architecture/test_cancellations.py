"""Work that outlives an outage of the database ends when it is cancelled, though the cancellation
was lost in the wait (application/duties.py, `cancelled`)."""

import ast
from collections.abc import Iterator

from tests.architecture.code import Module, functions, modules

AWAY = {"DatabaseUnavailable", "psycopg.Error"}
PATIENT = {"application/writer.py"}
"""Never cancelled: it is told to stop, and its waits end with the patience of those who ask."""


def caught(node: ast.AST) -> Iterator[str]:
    """What a statement, or anything in it, takes for no reason to end."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.ExceptHandler) and inner.type is not None:
            kinds = inner.type.elts if isinstance(inner.type, ast.Tuple) else [inner.type]
            yield from map(ast.unparse, kinds)
        elif isinstance(inner, ast.Call) and ast.unparse(inner.func) == "suppress":
            yield from map(ast.unparse, inner.args)


def loops_that_never_ask(module: Module) -> Iterator[str]:
    for function in functions(module):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.While) or not AWAY & set(caught(node)):
                continue
            if "cancelled()" not in ast.unparse(node):
                yield f"{module.path}:{node.lineno}"


def test_whoever_waits_for_the_database_asks_whether_they_were_cancelled() -> None:
    never = [
        place
        for module in modules("application", "infrastructure", "interfaces")
        if module.path not in PATIENT
        for place in loops_that_never_ask(module)
    ]

    assert never == []
