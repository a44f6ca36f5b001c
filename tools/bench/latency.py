"""How long from the commit to the first byte at the receiver: idle, and beside endpoints that hang."""

import time
from statistics import median

from sqlalchemy import text

from calapp import broker
from calapp.db import transaction
from tools.bench.figures import percentile
from tools.bench.ground import BODY, Ground
from tools.bench.receiving import wait
from tools.bench.recorder import Recorder
from tools.bench.stage import Stage, paths

PAUSE = 0.03  # seconds between two events, in which everything comes to rest
HEALTHY, HANGING = 100, 300
EACH = 20  # deliveries that wait for each endpoint that hangs
BEFORE = 3.0  # seconds in which the hanging ones take what they get
EVERY = 0.01  # seconds between two events for healthy endpoints


def when_idle(stage: Stage) -> None:
    """One event at a time, through the outbox, the wake and the worker; against the plain design."""
    plain = stage.plain.latencies(BODY, stage.size.plain_latencies, PAUSE)
    note(stage, "commit → first byte, the plain design", plain)
    for ground in stage.grounds:
        made = idle(stage, ground)
        note(stage, f"commit → first byte, {ground.name}", made)
        stage.results.ratio("p50", ground.name, median(made) / median(plain))
        stage.results.ratio("p90", ground.name, percentile(made, 0.9) / percentile(plain, 0.9))


def note(stage: Stage, what: str, seconds: list[float]) -> None:
    """Note p50 and p90."""
    stage.results.note(f"{what}, p50", "ms", median(seconds) * 1000)
    stage.results.note(f"{what}, p90", "ms", percentile(seconds, 0.9) * 1000)


def idle(stage: Stage, ground: Ground) -> list[float]:
    """Return the seconds from commit to first byte of events that come one by one."""
    event_type_id = ground.event_type(f"idle-{time.monotonic_ns()}")
    ground.webhooks(f"/ok/idle-{event_type_id}", event_type_ids=(event_type_id,))
    begun: dict[str, int] = {}
    hits: dict[str, int] = {}
    stage.receiver.take()

    def all_arrived() -> bool:
        hits.update((name, at) for _, name, at in stage.receiver.take())
        return begun.keys() <= hits.keys()

    recorder = Recorder(ground.host_id, event_type_id)
    with ground.here():
        for _ in range(stage.size.latencies):
            recorder.one(begun)
            wait(all_arrived, every=0.005)
            time.sleep(PAUSE)
    return [(hits[name] - at) / 1e9 for name, at in begun.items()]


def beside_hanging(stage: Stage) -> None:
    """Events for healthy endpoints, with none and with 300 more that hang."""
    for ground in stage.grounds:
        first = ground.webhooks(*paths("ok", HEALTHY), *paths("hang", HANGING))
        quiet, beside = (percentile(healthy(stage, ground, first, count), 0.99) for count in (0, HANGING))
        stage.results.note(f"p99 of 100 healthy endpoints, {ground.name}", "ms", quiet * 1000)
        stage.results.note(f"p99 of them while 300 hang, {ground.name}", "ms", beside * 1000)
        stage.results.ratio("hang", ground.name, beside / quiet)


def healthy(stage: Stage, ground: Ground, first: int, hanging: int) -> list[float]:
    """Return the seconds from commit to first byte at healthy endpoints while so many others hang."""
    ground.restart_worker()
    ground.drain(first, HEALTHY, HEALTHY)  # the worker has seen them answer
    begun: dict[str, int] = {}
    if hanging:
        ground.fill(first + HEALTHY, hanging, hanging * EACH)
        ground.release(first + HEALTHY, hanging)
        time.sleep(BEFORE)
    stage.receiver.take()
    with ground.here():
        until, number = time.monotonic() + stage.size.hanging, 0
        while time.monotonic() < until:
            number += 1
            short_event(ground, first + number % HEALTHY, begun)
            time.sleep(EVERY)
        wait(lambda: ground.drained(first, first + HEALTHY))
    hits = {name: at for path, name, at in stage.receiver.take() if path.startswith("/ok/")}
    ground.start_afresh()
    return [(hits[name] - at) / 1e9 for name, at in begun.items()]


EVENT = text("""INSERT INTO event
  (uid, user_id, number, trigger, chain, sequence, subject, search, body, created_at)
VALUES (:uid, :host, :number, 'BOOKING_CREATED', :uid, 1, :uid, '', :body, CURRENT_TIMESTAMP)""")
NUMBER = text("""UPDATE "user" SET last_event_number = last_event_number + 1 WHERE id = :host
RETURNING last_event_number""")
DELIVERY = """INSERT INTO delivery
  (event_id, webhook_id, chain, state, due_at, attempts, tries, manual, created_at)
SELECT id, :webhook, chain, 'waiting', created_at, 0, 0, {no}, created_at FROM event WHERE uid = :uid"""


def short_event(ground: Ground, webhook: int, begun: dict[str, int]) -> None:
    """Write an event and its delivery to one webhook, note when they were committed, and wake the worker."""
    uid = f"evt_{time.monotonic_ns()}"
    no = "0" if ground.settings.sqlite else "false"
    with transaction() as session:
        number = session.scalar(NUMBER, {"host": ground.host_id})
        session.execute(EVENT, {"uid": uid, "host": ground.host_id, "number": number, "body": BODY})
        session.execute(text(DELIVERY.format(no=no)), {"uid": uid, "webhook": webhook})
    begun[uid] = time.monotonic_ns()
    broker.wake_workers()


def rates_beside_hanging(stage: Stage) -> None:
    """Deliveries a second to healthy endpoints while more and more others hang: a picture."""
    for ground in stage.grounds:
        first = ground.webhooks(*paths("ok", HEALTHY), *paths("hang", HANGING))
        for hanging in stage.size.picture:
            rate = healthy_rate(stage, ground, first, hanging)
            stage.results.point("hanging", ground.name, hanging, rate)
        stage.receiver.take()


def healthy_rate(stage: Stage, ground: Ground, first: int, hanging: int) -> float:
    """Return deliveries a second to healthy endpoints while so many others hang."""
    ground.restart_worker()
    ground.drain(first, HEALTHY, HEALTHY)
    if hanging:
        ground.fill(first + HEALTHY, hanging, hanging * EACH)
        ground.release(first + HEALTHY, hanging)
        time.sleep(BEFORE / 2)
    rate = ground.drain(first, HEALTHY, stage.size.deliveries).rate
    ground.start_afresh()
    return rate
