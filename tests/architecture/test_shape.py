"""The shape of the code: sizes, names, docstrings, and who may import whom."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from application.commands import Command, agents, archives, audit, imports, subjects, tasks
from application.handlers import all_handlers
from infrastructure.settings import Settings
from tests.architecture.code import ROOT, SHIPPED, Definition, functions, modules, public

MODULE_LINES_MAX, FUNCTION_LINES_MAX, AGGREGATE_LINES_MAX = 500, 50, 300

LONGER_FUNCTIONS: dict[str, int] = {}
"""Functions that may be longer, with how long, and in a comment why."""

BANNED_WORDS = frozenset(
    {"manager", "managers", "helper", "helpers", "util", "utils", "misc"}
    | {"claim", "claims", "claimed"}
)
BANNED_IN_CLASSES = BANNED_WORDS | {"base", "data", "info", "error"}
ALLOWED_NAMES = {
    "_claimed_by",  # a process number in a file of PostgreSQL's, not a task
    "Claims",  # what an access token says (RFC 7519)
    *("DataKey", "DataKeys"),  # what data is encrypted with, as all key management calls it
    "ControlPlaneError",  # the roots of all refusals carry no condition of their own
    "InternalError",  # nor does what we cannot explain
    "MusterrollError",
}


def test_modules_are_small_and_most_are_smaller() -> None:
    sizes = {module.path: module.lines for module in modules(*SHIPPED)}
    ordered = sorted(sizes.values())

    assert {path: n for path, n in sizes.items() if n > MODULE_LINES_MAX} == {}
    assert ordered[int(len(ordered) * 0.9)] <= 300
    assert statistics.median(n for n in ordered if n > 3) <= 150


def test_a_function_fits_on_a_screen() -> None:
    sizes = {
        f"{module.path}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in modules(*SHIPPED)
        for function in functions(module)
    }

    limits = {name: LONGER_FUNCTIONS.get(name, FUNCTION_LINES_MAX) for name in sizes}
    assert {name: n for name, n in sizes.items() if n > limits[name]} == {}
    assert set(LONGER_FUNCTIONS) <= set(sizes), "the list names functions that are gone"


@pytest.mark.parametrize("folder", ["domain", "application"])
def test_everything_public_says_what_it_is(folder: str) -> None:
    silent = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules(folder)
        for node in public(module.tree.body)
        if not ast.get_docstring(node) and not is_event(node)
    ]

    assert silent == []
    assert [m.path for m in modules(folder) if not ast.get_docstring(m.tree)] == []


def is_event(node: ast.stmt) -> bool:
    """An event's name and fields say everything (style, 4.3)."""
    return isinstance(node, ast.ClassDef) and any(
        isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and statement.targets[0].id == "TOPIC"
        and isinstance(statement.value, ast.Constant)
        and "." in str(statement.value.value)
        for statement in node.body
    )


def test_no_name_is_a_word_that_we_rejected() -> None:
    names = {
        f"{module.path}: {node.name}"
        for module in modules("domain", "application", "infrastructure", "interfaces")
        for node in ast.walk(module.tree)
        if isinstance(node, Definition)
        and node.name not in ALLOWED_NAMES
        and (BANNED_IN_CLASSES if isinstance(node, ast.ClassDef) else BANNED_WORDS)
        & set(words_of(node.name))
    }

    assert names == set()


def words_of(name: str) -> list[str]:
    """The words of a name: `TaskBoard` and `task_board` have the same two."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def test_the_domain_looks_at_no_clock_and_does_no_input_or_output() -> None:
    allowed = {"collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "inspect"}
    allowed |= {"typing", "uuid", "eventsourcing", "domain"}

    imported = {
        (module.path, name.partition(".")[0])
        for module in modules("domain")
        for node in ast.walk(module.tree)
        for name in imports_of(node)
    }

    assert {(path, name) for path, name in imported if name not in allowed} == set()
    calls = {
        f"{module.path}:{node.lineno}"
        for module in modules("domain")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today", "uuid4"}
    }
    assert calls == set()


def imports_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_imports_keep_to_the_contracts() -> None:
    program = Path(sys.executable).parent / "lint-imports"

    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_our_top_level_packages_are_ours_alone() -> None:
    """A stranger's package of the same name would be imported instead, or over ours."""
    for name in ("domain", "application", "infrastructure", "interfaces"):
        places = {
            str(Path(entry or ".").resolve() / name)
            for entry in sys.path
            if (Path(entry or ".") / name).is_dir() or (Path(entry or ".") / f"{name}.py").is_file()
        }
        assert places == {str(ROOT / name)}


def test_every_command_has_a_handler() -> None:
    assert all_handlers()
    kinds = {
        kind
        for module in (agents, tasks, audit, subjects, imports, archives)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Command)
    }

    leaves = {kind for kind in kinds if not any(kind in other.__bases__ for other in kinds)}
    assert leaves == set(all_handlers())


def test_every_setting_is_documented() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    documented = dict(re.findall(r"^\| `([a-z0-9_]+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))

    assert documented == {name: field.description for name, field in Settings.model_fields.items()}
