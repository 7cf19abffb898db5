"""Only so much at a time, of a tenant and of all."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turnstile:
    """Counts what is under way, by tenant. Belongs to the event loop.

    `full` makes the refusal for those who find `of_tenant_max` of their tenant's or `of_all_max` of
    all tenants' under way.
    """

    def __init__(
        self, of_tenant_max: int, of_all_max: int, *, full: Callable[[], Exception]
    ) -> None:
        self._of_tenant_max = of_tenant_max
        self._of_all_max = of_all_max
        self._full = full
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def one(self, tenant: str) -> Iterator[None]:
        """While one more is under way. Raises what `full` makes."""
        of_tenant, of_all = self._under_way[tenant], self._under_way.total()
        if of_tenant >= self._of_tenant_max or of_all >= self._of_all_max:
            raise self._full()
        self._under_way[tenant] += 1
        try:
            yield
        finally:
            self._under_way[tenant] -= 1
            if not self._under_way[tenant]:
                del self._under_way[tenant]
