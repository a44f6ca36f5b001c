"""Experiments in which visitors want the same time, or the database refuses at the last moment."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from sqlalchemy import func, select, text

from calapp import config
from calapp.bookings.models import Booking, BusySlot
from calapp.clock import iso_seconds
from calapp.db import transaction
from calapp.deliveries.models import Delivery, Event
from tests.journey.rivals import race
from tools.faults.report import Finding, experiment
from tools.faults.world import Posted, World

# One event in three is followed by a conflict of times, after it and its delivery were written: on SQLite as
# soon as they are, on PostgreSQL not before the commit.
CLASH_SQLITE = (
    """CREATE TRIGGER clash AFTER INSERT ON delivery WHEN abs(random()) % 3 = 0 BEGIN
  INSERT INTO busy_slot SELECT host_id, at, booking_id FROM busy_slot LIMIT 1; END""",
)
CLASH_POSTGRESQL = (
    """CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF random() < 0.33 THEN INSERT INTO busy_slot SELECT * FROM busy_slot LIMIT 1; END IF;
  RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER clash AFTER INSERT ON delivery DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION clash()""",
)


@experiment(4, "late-conflict", "an overlap conflict after the event was written, and races for one time")
def late_conflict(finding: Finding, short: bool) -> None:
    for postgresql in [False] if short else [False, True]:
        with World(postgresql=postgresql) as world:
            finding.note("PostgreSQL" if postgresql else "SQLite")
            conflicts(finding, world, short)


def conflicts(finding: Finding, world: World, short: bool) -> None:
    """Let visitors race for times, and then let the database refuse one transaction in three."""
    world.webhook()
    world.worker.start()
    raced = [world_race(world, 8) for _ in range(4 if short else 30)]
    winners = [[one.status for one in posted].count(303) for posted in raced]
    finding.expect(f"of 8 who want one time one gets it: {set(winners)}", set(winners) == {1})
    with transaction() as session:
        for statement in CLASH_POSTGRESQL if world.postgresql else CLASH_SQLITE:
            session.execute(text(statement))
    refused = world.book(40 if short else 300)
    statuses = [one.status for one in refused]
    world.wait_delivered()
    good = statuses.count(303) + sum(winners)
    finding.note(f"{statuses.count(303)} of {len(statuses)} got through; statuses {sorted(set(statuses))}")
    finding.expect("some were refused after their event was written", statuses.count(303) < len(statuses))
    finding.expect("each of them was told that the time is taken", set(statuses) <= {303, 409})
    tally = world.judge(finding)
    events = world.session().scalar(select(func.count()).select_from(Event))
    finding.expect(
        f"as many events as bookings as confirmations: {events}, {tally.bookings}, {good}",
        events == tally.bookings == good,
    )


def world_race(world: World, visitors: int) -> list[Posted]:
    """Let visitors ask for one and the same time at once."""
    start = world.next_start()
    with ThreadPoolExecutor(visitors) as pool:
        return list(pool.map(lambda _: world.post(start), range(visitors)))


@experiment(16, "overlapping", "20 processes book overlapping times, on both databases")
def overlapping(finding: Finding, short: bool) -> None:
    # Short on SQLite alone: tests/journey/test_double_bookings.py races on both databases.
    for postgresql in [False] if short else [False, True]:
        with World(postgresql=postgresql) as world:
            finding.note("PostgreSQL" if postgresql else "SQLite")
            overlap(finding, world, rounds=2 if short else 15)


def overlap(finding: Finding, world: World, rounds: int) -> None:
    """Let 20 processes book times that overlap by a step each, several times; every time has one winner."""
    world.lengthen(25)
    world.webhook()
    world.worker.start()
    noon = world.first + timedelta(hours=12)
    wishes = [
        [
            ("/rick/chat", iso_seconds(noon + timedelta(hours=turn, minutes=5 * (number % 5))))
            for turn in range(rounds)
        ]
        for number in range(20)
    ]
    settings = replace(config.prepare(world.environment), rate_limits="off")
    answers = race(settings, wishes)
    won = [[one[turn][0] for one in answers].count(303) for turn in range(rounds)]
    finding.expect(f"each time has one winner: {won}", set(won) == {1})
    world.wait_delivered()
    meetings = (
        world.session().execute(select(Booking.starts_at, Booking.ends_at).order_by(Booking.starts_at)).all()
    )
    apart = all(earlier.ends_at <= later.starts_at for earlier, later in pairwise(meetings))
    cells = world.session().scalar(select(func.count()).select_from(BusySlot))
    finding.expect(f"no two of {len(meetings)} meetings overlap", apart and cells == 5 * len(meetings))
    finding.expect("one event and one delivery each", world.count(Delivery.id > 0) == len(meetings))
    world.judge(finding)
