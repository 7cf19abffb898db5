"""The surveyor's program, as any program can be an agent: JSON on standard input, JSON on output.

echo '{"path": "/usr/lib/python3.11/ast.py"}' | python -m interfaces.cli.demo.survey
"""

import json
import sys
import warnings
from pathlib import Path

from interfaces.cli.demo.analysis import Complexity, complexity
from interfaces.cli.demo.files import NotText, read_text


def survey(path: Path) -> Complexity:
    """The complexity of a Python file. Raises NotText."""
    source = read_text(path)
    try:
        return complexity(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Written for another Python, or a template: there is nothing to measure in it.
        return {"functions": 0, "mean": 0.0, "worst": []}


def main() -> None:
    """Read the task, print the finding. What is said on a non-zero exit is the attempt's error."""
    warnings.simplefilter("ignore")  # Invalid escapes in other people's sources are not ours.
    task = json.load(sys.stdin)
    try:
        print(json.dumps(survey(Path(task["path"]))))
    except NotText as error:
        sys.exit(f"{task['path']}: {error}")


if __name__ == "__main__":
    main()
