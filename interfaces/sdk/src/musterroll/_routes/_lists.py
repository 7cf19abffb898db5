"""Lists that are read page by page, with an opaque cursor."""

from dataclasses import replace
from typing import Any, TypeVar

from musterroll._request import Page, Pages, Request, page_of, query

T = TypeVar("T")

PAGE_ITEMS_MAX = 200


def listing(path: str, model: type[T], limit: int | None, **filters: Any) -> Pages[T]:
    """All pages of a list, or as many as hold `limit` items."""
    size = PAGE_ITEMS_MAX if limit is None else max(1, min(limit, PAGE_ITEMS_MAX))
    first = query(path, page_of(model), limit=size, **filters)

    def following(page: Page[T]) -> Request[Page[T]] | None:
        if page.next_cursor is None:
            return None
        return replace(first, query={**first.query, "cursor": page.next_cursor})

    return Pages(first=first, following=following, limit=limit)
