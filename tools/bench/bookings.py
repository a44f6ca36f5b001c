"""What visitors notice of webhooks: nothing."""

from statistics import median

from tools.bench.figures import percentile
from tools.bench.ground import Ground
from tools.bench.stage import Stage
from tools.bench.visitors import Visitors

DRAINED = 10_000
BLOCKS = 4


def while_draining(stage: Stage, visitors: Visitors) -> None:
    """Bookings one after the other, with an idle worker and with one that drains 10,000."""
    ground, bookings = stage.sqlite, stage.size.bookings
    drained = min(DRAINED, stage.size.deliveries)
    beside: list[float] = []
    while len(beside) < bookings:
        beside += during_a_drain(ground, visitors, drained)
    idle = visitors.one_after_the_other(*bookings * ["told"])
    for what, times in (("with an idle worker", idle), ("while 10,000 are drained", beside)):
        stage.results.note(f"p99 of bookings {what}", "ms", percentile(times, 0.99) * 1000)
        stage.results.note(f"p50 of bookings {what}", "ms", median(times) * 1000)
    stage.results.ratio("drain", ground.name, percentile(beside, 0.99) / percentile(idle, 0.99))


def during_a_drain(ground: Ground, visitors: Visitors, count: int) -> list[float]:
    """Book until so many deliveries have been drained."""
    first = ground.rates[100]
    ground.fill(first, 100, count)
    ground.settle()
    ground.release(first, 100)
    times: list[float] = []
    with ground.here():
        while not ground.drained(first, first + 100):
            times += visitors.one_after_the_other("told")
    return times


def with_a_slow_receiver(stage: Stage, visitors: Visitors) -> None:
    """Bookings in turn: without a webhook, and with one whose receiver takes 10 s."""
    pairs = stage.size.bookings // 2
    times = visitors.one_after_the_other(*pairs * ["alone", "patient"])
    alone, patient = median(times[0::2]), median(times[1::2])
    stage.results.note("a visitor's POST without a webhook", "ms", alone * 1000)
    stage.results.note("a visitor's POST, the receiver takes 10 s", "ms", patient * 1000)
    stage.results.ratio("slow", stage.sqlite.name, patient / alone)
    stage.sqlite.start_afresh()  # what waits for that receiver would go on into the next round


def a_second(stage: Stage, visitors: Visitors) -> None:
    """Bookings a second in short turns, without a webhook and with one."""
    each = max(4, stage.size.bookings // BLOCKS)
    rates: dict[str, list[float]] = {"alone": [], "told": []}
    for turn in range(2 * BLOCKS):
        slug = ("alone", "told", "told", "alone")[turn % 4]
        rates[slug].append(visitors.rate(slug, each))
    alone, told = median(rates["alone"]), median(rates["told"])
    stage.results.note("bookings without a webhook", "bookings/s", alone)
    stage.results.note("bookings with one", "bookings/s", told)
    stage.results.ratio("web", stage.sqlite.name, told / alone)
