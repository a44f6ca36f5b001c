"""Everything that one run of the benchmark needs: the receiver, the databases, the plain design."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count as count_up
from typing import Self

from tools.bench.figures import Results
from tools.bench.ground import Ground
from tools.bench.plain import Plain
from tools.bench.receiving import Receiving
from tools.bench.sizes import Size

ENDPOINTS = (1, 100, 400)
SLUGS = ("alone", "told", "patient")  # no webhook; one that answers at once; one that takes 10 s

_runs = count_up()


class Stage:
    """All contestants, running and idle; `with Stage(size) as stage`."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.results = Results(backlog=size.backlog)
        self.stack = ExitStack()
        self.receiver = Receiving()

    def __enter__(self) -> Self:
        enter = self.stack.enter_context
        enter(self.receiver)
        kinds = (False, True) if self.size.postgresql else (False,)
        self.grounds = [enter(Ground(self.receiver, postgresql=kind)) for kind in kinds]
        self.large = [enter(Ground(self.receiver, postgresql=kind)) for kind in kinds]
        self.sqlite = self.grounds[0]
        redis_url = self.sqlite.environment["REDIS_URL"]
        self.plain = enter(Plain(self.sqlite.folder, redis_url, self.receiver))
        for ground in self.grounds:
            ground.rates = {count: ground.webhooks(*paths("ok", count)) for count in ENDPOINTS}
            ground.worker.start()
        for ground in self.large:  # which nobody works but who claims from them
            print(f"  letting {self.size.backlog:,} deliveries wait in {ground.name} …", flush=True)
            ground.rates = {1: ground.webhooks("/ok/large")}
            ground.fill(ground.rates[1], 1, self.size.backlog)
        ids = [self.sqlite.event_type(slug) for slug in SLUGS]
        self.sqlite.webhooks("/ok/booked", "/slow/10000/booked", event_type_ids=(ids[1], ids[2]))
        self.sqlite.web.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()


def paths(kind: str, count: int) -> Sequence[str]:
    """Return so many paths of the receiver that nobody has used yet."""
    run = next(_runs)  # a URL stands once for each host
    return [f"/{kind}/{run}-{number}" for number in range(count)]
