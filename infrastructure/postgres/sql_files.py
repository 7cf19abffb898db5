"""Named statements from the .sql files beside this module: `-- name: x`, a line of why, the
statement."""

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"


@cache
def load(file_name: str) -> dict[str, str]:
    """The statements of one file by their names. Raises FileNotFoundError."""
    statements = {}
    for block in (FOLDER / file_name).read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, _, text = block.partition("\n")
        statements[name.strip()] = text.strip()
    return statements
