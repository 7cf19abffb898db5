"""Goal: a page in a real browser sees every event once, and a page from elsewhere sees nothing.

Method: Debian's Chromium, driven by Playwright, on pages of origins of their own
(`live_page.js`); the line between page and service is cut in the middle.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Database
from tests.interfaces.service import Service
from tests.system.sdk_line import Line

playwright = pytest.importorskip("playwright.sync_api", reason="a development dependency")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SCRIPT = Path(__file__).parent / "live_page.js"
PATIENCE_MILLISECONDS = 30_000

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}: apt-get install -y chromium"
)


class PageServer(BaseHTTPRequestHandler):
    """Serves the one page under every path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><script>%b</script>" % SCRIPT.read_bytes())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nobody reads it."""


@contextmanager
def page_served() -> Iterator[str]:
    """The origin that the page is served from."""
    with ThreadingHTTPServer(("127.0.0.1", 0), PageServer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser with a fresh profile of its own."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty tab. What the service's own pages may not load is no concern of these tests."""
    with browser.new_context(bypass_csp=True) as context:
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        yield context.new_page()


@pytest.fixture
def origin() -> Iterator[str]:
    with page_served() as origin:
        yield origin


@pytest.fixture
def service(database: Database, tmp_path: Path, origin: str) -> Iterator[Service]:
    """A service that lets the pages of `origin` connect."""
    with Service(database, tmp_path, allowed_origins=[origin]) as service:
        yield service


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def submit(admin: httpx.Client, count: int = 1) -> list[str]:
    """The cursors of new tasks."""
    answers = [admin.post("/v1/tasks", json={"kind": "a"}).raise_for_status() for _ in range(count)]
    return [answer.json()["cursor"] for answer in answers]


def token_of(admin: httpx.Client) -> str:
    return admin.headers["Authorization"].removeprefix("Bearer ")


def ticket_of(admin: httpx.Client) -> str:
    return str(admin.post("/v1/ws-tickets").raise_for_status().json()["ticket"])


def socket_url(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/ws/v1/events"


def watch(page: Any, url: str, **wanted: Any) -> None:
    script = "([url, wanted]) => { window.watcher = new Watcher(url, wanted) }"
    page.evaluate(script, [socket_url(url), {"channels": ["tasks"], "after": "start", **wanted}])


def ids_once_there_are(page: Any, count: int) -> list[str]:
    """The ids of the events that the page got, in order."""
    page.wait_for_function("count => watcher.ids().length >= count", arg=count)
    found: list[str] = page.evaluate("watcher.ids()")
    return found


@pytest.mark.parametrize("way", ["token", "ticket"])
def test_a_page_sees_history_and_then_what_happens(
    page: Any, origin: str, service: Service, admin: httpx.Client, way: str
) -> None:
    credentials = {"token": token_of(admin)} if way == "token" else {"ticket": ticket_of(admin)}
    before = submit(admin, 3)

    page.goto(origin)
    watch(page, service.url, **credentials)
    page.wait_for_function("watcher.count('caught_up') === 1")
    after = submit(admin, 3)

    assert ids_once_there_are(page, 6) == before + after
    types = [frame["type"] for frame in page.evaluate("watcher.frames")]
    assert types[:6] == ["hello", "subscribed", "event", "event", "event", "caught_up"]
    assert page.evaluate("watcher.protocol") == "musterroll.v1"
    assert page.evaluate("watcher.closed") == []


def test_a_page_goes_on_where_its_connection_was_cut(
    page: Any, origin: str, service: Service, admin: httpx.Client
) -> None:
    with Line(service.url) as line:
        page.goto(origin)
        watch(page, line.url, token=token_of(admin), ticket=ticket_of(admin))
        cursors = submit(admin, 3)
        ids_once_there_are(page, 3)

        for round_number in range(1, 4):
            line.cut()
            page.wait_for_function("n => watcher.closed.length >= n", arg=round_number)
            cursors += submit(admin, 3)
            line.mend()
            cursors += submit(admin, 3)
            ids_once_there_are(page, len(cursors))

        assert page.evaluate("watcher.ids()") == cursors
        assert page.evaluate("watcher.opened") == 4


def test_a_page_from_elsewhere_is_refused(page: Any, service: Service, admin: httpx.Client) -> None:
    refusals: list[str] = []

    def listen(socket: Any) -> None:
        socket.on("socketerror", lambda why: refusals.append(str(why)))

    page.on("websocket", listen)

    with page_served() as elsewhere:
        page.goto(elsewhere)
        watch(page, service.url, token=token_of(admin), ticket=ticket_of(admin))
        page.wait_for_function("watcher.closed.length === 1")

    assert page.evaluate("watcher.closed") == [1006]
    assert page.evaluate("watcher.opened") == 0
    assert page.evaluate("watcher.frames") == []
    assert ["403" in refusal for refusal in refusals] == [True]


def test_a_page_from_elsewhere_cannot_read_the_stream(
    page: Any, service: Service, admin: httpx.Client
) -> None:
    submit(admin)
    arguments = [f"{service.url}/v1/stream?channels=tasks&after=start", token_of(admin), 1]

    with page_served() as elsewhere:
        page.goto(elsewhere)
        with pytest.raises(playwright.Error, match="Failed to fetch"):
            page.evaluate("arguments => stream(...arguments)", arguments)


def test_a_page_of_the_service_itself_reads_the_stream_and_opens_the_socket(
    page: Any, service: Service, admin: httpx.Client
) -> None:
    cursors = submit(admin, 3)
    page.goto(f"{service.url}/docs")
    page.add_script_tag(path=SCRIPT)
    script = "arguments => { window.streamed = stream(...arguments) }"

    page.evaluate(script, ["/v1/stream?channels=tasks&after=start", token_of(admin), 5])
    watch(page, service.url, token=token_of(admin))
    page.wait_for_function("watcher.count('caught_up') === 1")
    cursors += submit(admin)
    streamed = page.evaluate("window.streamed")

    assert streamed["status"] == 200
    assert streamed["type"].startswith("text/event-stream")
    names = [event["event"] for event in streamed["events"]]
    assert sorted(names) == ["caught_up", *["task.submitted"] * 4]
    events = [event for event in streamed["events"] if event["event"] == "task.submitted"]
    assert [event["id"] for event in events] == [event["data"]["id"] for event in events] == cursors
    assert ids_once_there_are(page, 4) == cursors
