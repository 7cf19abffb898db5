"""Goal: whatever is cut or killed, whoever watches sees each event of the log once, in order.

Method: watchers of three kinds, some of them with filters, follow a `muster up` that is killed at
random moments under load, and are cut off at others; each goes on after the last cursor that it
saw. Then what they saw is compared with the log. `scripts/live_faults.py` does the same for longer.
"""

import asyncio
import random
from pathlib import Path

from tests.conftest import Database
from tests.system.live_story import KINDS, WISHES, Story
from tests.system.service import ServiceProcess

CUTS, KILLS = 60, 4


def test_watchers_see_every_event_once_over_kills_and_cuts(
    database: Database, tmp_path: Path, rng: random.Random
) -> None:
    urls = {"database_url": database.url, "database_owner_url": database.owner_url}
    with ServiceProcess(tmp_path / "service", log_level="error", **urls) as service:
        story = Story(service, rng, watchers=len(WISHES) * len(KINDS))

        outcome = asyncio.run(story.tell(cuts=CUTS, kills=KILLS))

    assert outcome.wrong == []
    assert (outcome.cuts, outcome.kills) == (CUTS, KILLS)
    assert outcome.events > 100
