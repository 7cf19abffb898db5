"""The code of this repository, as data."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("domain", "application", "infrastructure", "interfaces", "scripts")
NOT_OURS = {"node_modules", "build", "dist", "dashboard"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | Function


@dataclass(frozen=True)
class Module:
    """One file: where it is, its lines, its tree."""

    path: str
    lines: int
    tree: ast.Module


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every module below these folders of the repository."""
    return tuple(
        Module(
            str(path.relative_to(ROOT)),
            sum(1 for line in text.splitlines() if line.strip()),
            ast.parse(text),
        )
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not NOT_OURS & set(path.relative_to(ROOT).parts)
        for text in [path.read_text(encoding="utf-8")]
    )


def functions(module: Module) -> Iterator[Function]:
    """Every function of a module, inner ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    """The classes and functions with public names, and those of the classes."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)
