"""The report as people read it."""

import io
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from interfaces.cli.demo.findings import LookAlikes, Readability
from interfaces.cli.demo.report import AgentShare, Checked, Found, Report, RescueTold
from interfaces.cli.demo.work import counted
from interfaces.cli.output import is_plain, print_line

SHARE_WIDTH = 24
PIPED_WIDTH = 110
STEP_WIDTH_MAX = 40
LOOK_ALIKE_GROUPS_SHOWN = 4
LOOK_ALIKE_FILES_SHOWN = 4


def show(part: RenderableType) -> None:
    """Print to standard output; without colours and trailing blanks where that is no terminal."""
    if not is_plain():
        Console(highlight=False).print(part)
        return
    stream = io.StringIO()
    Console(file=stream, width=PIPED_WIDTH, highlight=False).print(part)
    for row in stream.getvalue().splitlines():
        print_line(row.rstrip())


def lines_of(report: Report) -> RenderableType:
    """The report, to be printed."""
    return Group(*_parts(report))


def show_steps(steps: Sequence[tuple[str, str]]) -> None:
    """Print commands to try, and what each is for; long ones unbroken, to be copied."""
    show(_heading("Next"))
    width = max(len(command) for command, _ in steps)
    for command, purpose in steps:
        if width <= STEP_WIDTH_MAX:
            print_line(f"  {command:<{width}}  {purpose}")
        else:
            print_line(f"  # {purpose}")
            print_line(f"  {command}")


def _parts(report: Report) -> Iterator[RenderableType]:
    found = report["found"]
    where = f"{counted(found['files'], 'file')} of {found['folder']}"
    yield _heading(f"What the agents found in {where}")
    for paragraph in _found(found):
        yield _indented(Group(*paragraph))
    yield _heading("Who did the work")
    yield _indented(_shares(report["agents"]))
    yield _indented(_routing(report))
    if report["rescues"]:
        yield _heading("What happened to the work of the agent that was killed")
        yield _indented(_rescues(report["rescues"]))
    else:
        yield _indented(Text("No agent was killed: the work was done too soon to see its end."))
    yield _heading("Exactly once?")
    yield _indented(_check(report["check"]))
    yield _indented(_log(report))


def _found(found: Found) -> Iterator[list[RenderableType]]:
    """Paragraph by paragraph."""
    overview: list[RenderableType] = []
    if found["keywords"]:
        overview.append(Text.assemble(("They are about  ", "dim"), ", ".join(found["keywords"])))
    yield [*overview, *_reading(found["readability"])]
    if found["most_complex"]:
        yield [Text(), _functions(found)]
    if found["look_alikes"]:
        heading = Text("Files that resemble one another", style="dim")
        yield [Text(), heading, *_groups(found["look_alikes"])]
    if found["summaries"]:
        heading = Text("In the words of the model", style="dim")
        yield [Text(), heading, *_summaries(found["summaries"])]


def _summaries(summaries: dict[str, str]) -> Iterator[Text]:
    for file, summary in summaries.items():
        yield Text.assemble((f"  {file}  ", "bold"), " ".join(summary.split()))


def _reading(reading: Readability) -> Iterator[Text]:
    median = reading["median_reading_ease"]
    if median is None:
        return
    yield Text.assemble(
        ("Their prose     ", "dim"),
        f"{reading['words']:,} words; reading ease {median:.0f} in the middle "
        "(Flesch: 100 very easy, 0 very hard)",
    )
    for label, ends in (("easiest", reading["easiest"]), ("hardest", reading["hardest"])):
        names = ", ".join(f"{end['file']} ({end['reading_ease']:.0f})" for end in ends)
        if names:
            yield Text.assemble((f"  {label:<14}", "dim"), names)


def _functions(found: Found) -> Table:
    table = _table("paths", "most complex functions", "where")
    for function in found["most_complex"]:
        place = f"{function['file']}:{function['line']}"
        table.add_row(str(function["complexity"]), function["name"], place)
    return table


def _groups(groups: list[LookAlikes]) -> Iterator[Text]:
    for group in groups[:LOOK_ALIKE_GROUPS_SHOWN]:
        files = group["files"]
        names = ", ".join(files[:LOOK_ALIKE_FILES_SHOWN])
        more = len(files) - LOOK_ALIKE_FILES_SHOWN
        yield Text.assemble(
            f"  up to {group['similarity_max']:.0%}  ",
            names,
            (f" and {more} more" if more > 0 else "", "dim"),
        )
    if len(groups) > LOOK_ALIKE_GROUPS_SHOWN:
        yield Text(f"  and {len(groups) - LOOK_ALIKE_GROUPS_SHOWN} more groups", style="dim")


def _shares(agents: list[AgentShare]) -> Table:
    table = _table("agent", "does", "slots", "done", "failed", "lost", "share")
    most = max((agent["completed"] for agent in agents), default=0) or 1
    for agent in agents:
        bar = "█" * round(SHARE_WIDTH * agent["completed"] / most)
        table.add_row(
            Text(agent["agent"], style="bold"),
            Text(agent["does"], style="dim"),
            str(agent["slots"]),
            str(agent["completed"]),
            str(agent["failed_attempts"] or ""),
            str(agent["leases_lost"] or ""),
            Text.assemble((bar, "green"), (" killed" if agent["killed"] else "", "bold red")),
        )
    return table


def _routing(report: Report) -> Text:
    wins = report["won_by_least_loaded"]
    return Text(
        f"Agents ask for work when they have room. {report['contested']} of {report['decisions']} "
        f"times several asked at once, and the least loaded one got it {counted(wins, 'time')}. "
        f"{counted(report['retries'], 'failed attempt')} led to another one."
    )


def _rescues(rescues: list[RescueTold]) -> Table:
    table = _table("task", "its lease expired", "finished by")
    for rescue in rescues:
        by = rescue["finished_by"]
        table.add_row(
            rescue["task"],
            f"{rescue['seconds_to_expiry']:.1f} s after {rescue['lost_by']} died",
            f"{by}, attempt {rescue['attempt_finished']}" if by else Text("nobody", style="red"),
        )
    return table


def _check(check: Checked) -> Text:
    figures = (
        f"{counted(check['tasks'], 'task')}, {check['completed_events']} of the log's events are "
        "task.completed: "
        f"{check['done_twice']} done twice, {check['never_done']} never done."
    )
    if check["exactly_once"]:
        return Text.assemble(("Yes. ", "bold green"), figures)
    return Text.assemble(("No. ", "bold red"), figures)


def _log(report: Report) -> Text:
    commonest = sorted(report["events"].items(), key=lambda entry: -entry[1])
    named = ", ".join(f"{count} {name}" for name, count in commonest)
    return Text(
        f"The log holds {sum(report['events'].values()):,} events: {named}. The first task began "
        f"{report['first_task_after_seconds']:.1f} s after the demo, and all were done "
        f"{report['worked_seconds']:.0f} s later."
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        is_number = heading in {"paths", "slots", "done", "failed", "lost"}
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    return table


def _heading(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0), expand=False)


def _indented(part: RenderableType) -> RenderableType:
    return Padding(part, (0, 0, 0, 2), expand=False)
