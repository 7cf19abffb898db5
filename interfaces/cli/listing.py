"""What every `list` command does: pages to JSON lines for programs, to a table for people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interfaces.cli.output import print_json, print_table
from interfaces.cli.waiting import working

if TYPE_CHECKING:
    from musterroll import Client

PAGE_LIMIT = 200

Row = Mapping[str, Any]


def show_list(
    client: "Client",
    path: str,
    filters: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    as_json: bool,
    columns: Mapping[str, Callable[[Row], object]],
    empty: str,
) -> None:
    """Print a list of the API. A column is a heading and what to show of a row under it."""
    found = items_of(client, path, filters or {}, limit=limit)
    if as_json:
        for row in found:
            print_json(row)
        return
    with working("Reading"):
        rows: Sequence[Row] = list(found)
    cells = ([show(row) for show in columns.values()] for row in rows)
    print_table(list(columns), cells, empty=empty)


def items_of(
    client: "Client", path: str, filters: Mapping[str, Any], *, limit: int | None
) -> Iterator[Row]:
    """The items of a list, page by page, just as the API gives them; None: all of them."""
    asked = {name: value for name, value in filters.items() if value is not None}
    wanted = limit
    while wanted is None or wanted > 0:
        asked["limit"] = PAGE_LIMIT if wanted is None else min(wanted, PAGE_LIMIT)
        page = client.request("GET", path, params=asked)
        yield from page["items"]
        asked["cursor"] = page["next_cursor"]
        if asked["cursor"] is None:
            return
        if wanted is not None:
            wanted -= len(page["items"])
