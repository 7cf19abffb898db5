"""What the demo shows while it runs and when it is over, as a reader sees it."""

import io
import time
from datetime import UTC, datetime

from rich.console import Console

from interfaces.cli.demo.report import Report
from interfaces.cli.demo.screen import LineScreen, Scene, line, picture
from interfaces.cli.demo.story import Story
from interfaces.cli.demo.telling import lines_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def a_scene() -> Scene:
    """Alice works on one of two tasks; bob was killed."""
    story = Story()
    story.expect_agent("alice", "alice", slots=3)
    story.expect_agent("bob", "bob", slots=1)
    story.expect_task("t1", "words of a.py")
    story.expect_task("t2", "words of b.py")
    story.agents["alice"].online = True
    story.agents["alice"].in_hand["t1"] = None
    story.note(NOON, "kill -9 7: bob dies", is_trouble=True)
    return Scene(
        title="2 files of /here",
        story=story,
        began_at=time.monotonic() - 12,
        killed={"bob"},
        loads={"alice": 41.6},
    )


def text_of(scene: Scene, *, width: int = 100, height: int = 30) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, height=height).print(picture(scene, height=height))
    return stream.getvalue()


def test_the_picture_shows_who_works_on_what() -> None:
    shown = text_of(a_scene())

    [alice] = [row for row in shown.splitlines() if row.startswith("alice")]
    [bob] = [row for row in shown.splitlines() if row.startswith("bob")]
    assert "●○○" in alice
    assert "42 %" in alice
    assert "words of a.py" in alice
    assert "killed" in bob
    assert "0/2 done" in shown
    assert "bob dies" in shown


def test_the_picture_fits_a_small_terminal() -> None:
    scene = a_scene()
    for number in range(50):
        scene.story.note(NOON, f"moment {number} " + "x" * 200)

    rows = text_of(scene, width=60, height=20).splitlines()

    assert len(rows) <= 20
    assert max(map(len, rows)) <= 60
    assert "moment 49" in rows[-1]


def test_before_there_is_work_the_picture_says_what_is_being_done() -> None:
    scene = Scene(title="", story=Story(), began_at=time.monotonic(), step="Starting a service")

    assert "Starting a service" in text_of(scene)
    assert "Starting a service" in line(scene)


def test_elsewhere_each_moment_is_told_once_and_the_rest_once_a_second() -> None:
    stream = io.StringIO()
    scene = a_scene()
    screen = LineScreen(stream)

    with screen:
        screen.show(scene)
        screen.show(scene)
        scene.story.note(NOON, "alice came online")
        screen.show(scene)

    told = stream.getvalue().splitlines()
    assert [row.partition("  ")[2] for row in (told[0], told[-1])] == [
        "kill -9 7: bob dies",
        "alice came online",
    ]
    assert "alice 1/3  bob killed" in told[1]
    assert len(told) == 3


def a_report(*, done_twice: int = 0) -> Report:
    return {
        "found": {
            "folder": "/here",
            "files": 2,
            "keywords": ["sea", "boat"],
            "most_complex": [{"file": "a.py", "line": 7, "name": "wild", "complexity": 40}],
            "look_alikes": [{"files": ["a.py", "b.py"], "similarity_max": 0.93}],
            "readability": {
                "files": 2,
                "words": 1234,
                "median_reading_ease": 56.0,
                "easiest": [{"file": "a.py", "reading_ease": 80.0}],
                "hardest": [{"file": "b.py", "reading_ease": 20.0}],
            },
            "summaries": {"a.py": "It sails."},
        },
        "agents": [
            {
                "agent": "alice",
                "does": "counts",
                "slots": 3,
                "completed": 5,
                "failed_attempts": 1,
                "leases_lost": 0,
                "killed": False,
            }
        ],
        "rescues": [
            {
                "task": "words of a.py",
                "task_id": "t1",
                "lost_by": "bob",
                "attempt_lost": 1,
                "seconds_to_expiry": 5.2,
                "finished_by": "alice",
                "attempt_finished": 2,
            }
        ],
        "check": {
            "tasks": 5,
            "completed_events": 5 + done_twice,
            "done_twice": done_twice,
            "never_done": 0,
            "exactly_once": done_twice == 0,
        },
        "decisions": 6,
        "contested": 2,
        "won_by_least_loaded": 2,
        "retries": 1,
        "events": {"task.completed": 5, "task.assigned": 6},
        "first_task_after_seconds": 3.2,
        "worked_seconds": 20.0,
        "total_seconds": 25.0,
    }


def told(report: Report) -> str:
    stream = io.StringIO()
    Console(file=stream, width=110).print(lines_of(report))
    return stream.getvalue()


def test_the_report_tells_what_was_found_and_how_the_work_was_done() -> None:
    shown = told(a_report())

    for said in (
        "sea, boat",
        "a.py:7",
        "up to 93%",
        "1,234 words",
        "It sails.",
        "5.2 s after bob died",
        "alice, attempt 2",
        "Yes. 5 tasks, 5 of the log's events are task.completed",
        "The log holds 11 events",
    ):
        assert said in shown


def test_the_report_admits_that_something_was_done_twice() -> None:
    assert "No. 5 tasks, 6 of the log's events are task.completed: 1 done twice" in told(
        a_report(done_twice=1)
    )
