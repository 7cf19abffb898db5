"""How a job hears what to do and answers; see children.py for the other side."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO


def take_stdout() -> TextIO:
    """Our answers' way out; whatever else prints goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def answer(measure: Callable[[dict[str, Any]], Any]) -> None:
    """Read one argument, do the work, write one answer."""
    answers = take_stdout()
    result = measure(json.loads(sys.stdin.readline()))
    answers.write(json.dumps(result) + "\n")


def answer_each(obey: Callable[[dict[str, Any]], Any]) -> None:
    """The same for one argument after another, until there are no more."""
    answers = take_stdout()
    for line in sys.stdin:
        answers.write(json.dumps(obey(json.loads(line))) + "\n")
