"""`muster doctor`: is everything here that the service needs, and does it answer?"""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from interfaces.cli.failures import FAILED
from interfaces.cli.output import AsJson, is_plain, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

if TYPE_CHECKING:
    from interfaces.cli.finding import Finding

_COLOURS = {"ok": "32", "warn": "33", "fail": "1;31"}


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check this machine and the service. Exits with 1 when something fails."""
    from interfaces.cli.checks import check_all  # noqa: PLC0415 - it imports the service's parts

    with working("Looking"):
        findings = list(check_all(session_of(context)))
    for finding in findings:
        print_json(asdict(finding)) if as_json else _print(finding)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(FAILED)


def _print(finding: "Finding") -> None:
    """`ok    python       3.11.2`, coloured on a terminal; the advice below."""
    mark = f"{finding.level:<5}"
    if not is_plain():
        mark = f"\x1b[{_COLOURS[finding.level]}m{mark}\x1b[0m"
    print_line(f"{mark} {finding.subject:<12} {finding.text}")
    if finding.advice:
        print_line(f"{'':<5} {'':<12} -> {finding.advice}")
