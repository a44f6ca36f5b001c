"""`python -m tools.bench --year [--scale S]`: what each thing costs with a year behind it, against a tenth.

Rows are written straight to the tables of SQLite and of PostgreSQL, first a tenth, then the rest; each thing
is measured at both sizes. With a scale of 1 that is 1,000,000 bookings and 10,000,000 deliveries. As with the
default settings, attempts and the bodies of events are there for the last month only.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as count_up
from pathlib import Path

from sqlalchemy import text

from app import create_app
from calapp import config
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.deliveries import maintenance
from calapp.webhooks.models import Webhook
from tools.bench import machine
from tools.bench.ground import BODY, Ground
from tools.bench.handwritten import put_section
from tools.bench.receiving import Receiving, wait
from tools.bench.throughput import one_claim

WEBHOOKS = 10
BOOKINGS = 1_000_000  # with a scale of 1
TIMES = 15  # of each request
SENT = 2000  # deliveries of one drain
# Millions of rows are written by one statement.
UNLIMITED = {"DATABASE_STATEMENT_TIMEOUT": "0", "DATABASE_WORKER_STATEMENT_TIMEOUT": "0"}
KEPT = 1 / 12  # of the year, with bodies and attempts

COUNT = "WITH RECURSIVE n(i) AS (SELECT CAST(:low AS integer) UNION ALL SELECT i + 1 FROM n WHERE i < :high)"
# The moment of a booking of the past: SQLite keeps text, PostgreSQL an instant.
AGO = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || CAST({minutes} AS integer) || ' minutes')",
    "postgresql": "now() - ({minutes}) * interval '1 minute'",
}
NO = {"sqlite": "0", "postgresql": "false"}
FILL = (
    """INSERT INTO booking (uid, host_id, event_type_id, status, title, starts_at, ends_at, time_zone,
  location, notes, answers, metadata, metadata_left_out, metadata_verified, tracking, search, chain, sequence,
  ical_sequence, started_at, ended_at, created_at, updated_at)
{count} SELECT 'y' || i, :host, :kind, 'accepted', 'Intro between Rick and Visitor ' || i, {start}, {start},
  'Europe/London', '', '', '{{}}', '{{}}', '[]', {no}, '{{}}',
  'visitor ' || i || ' v' || i || '@example.com', 'y' || i, 3, 0, {start}, {start}, {made}, {made} FROM n""",
    """INSERT INTO attendee (booking_id, position, name, email, time_zone, phone, no_show)
SELECT id, 0, 'Visitor ' || substr(uid, 2), 'v' || substr(uid, 2) || '@example.com', 'Europe/London', '', {no}
FROM booking WHERE id > :last_booking""",
    """INSERT INTO busy_slot (host_id, at, booking_id)
SELECT host_id, starts_at, id FROM booking WHERE id > :last_booking""",
    """INSERT INTO event (uid, user_id, number, trigger, event_type_id, chain, sequence, subject, search,
  body, created_at)
{count} SELECT 'evt_y' || i, :host, :number + i - :low, 'BOOKING_CREATED', :kind, 'y' || i, 1, 'y' || i,
  'visitor ' || i || ' v' || i || '@example.com', CASE WHEN i > :kept THEN :body END, {made} FROM n""",
    """INSERT INTO delivery (event_id, webhook_id, chain, state, attempts, tries, manual, last_status,
  created_at, finished_at)
SELECT event.id, webhook.id, event.chain, 'delivered', 1, 1, {no}, 200, event.created_at, event.created_at
FROM event JOIN webhook ON webhook.id >= :first AND webhook.id < :first + {webhooks}
WHERE event.id > :last_event ORDER BY event.id, webhook.id""",
    """INSERT INTO attempt (delivery_id, webhook_id, number, at, manual, status, name_ms, connect_ms, tls_ms,
  first_byte_ms, total_ms, response_headers, response_body)
SELECT delivery.id, webhook_id, 1, finished_at, {no}, 200, 0.1, 0.2, 0.3, 4, 5,
  'content-type: text/plain', 'ok'
FROM delivery JOIN event ON event.id = event_id WHERE event_id > :last_event AND event.body IS NOT NULL""",
    'UPDATE "user" SET last_event_number = :number + :high - :low WHERE id = :host',
)


class Year:
    """A Calapp with a year behind it, of which more and more is there."""

    def __init__(self, receiver: Receiving, *, postgresql: bool, total: int) -> None:
        self.ground = Ground(receiver, postgresql=postgresql, **UNLIMITED)
        self.total, self.there = total, 0
        self.starts = count_up()  # of bookings by visitors

    def __enter__(self) -> "Year":
        self.ground.__enter__()
        self.dialect = "sqlite" if self.ground.settings.sqlite else "postgresql"
        self.first = self.ground.webhooks(*(f"/ok/year-{number}" for number in range(WEBHOOKS)))
        self.waiting = self.ground.webhooks("/ok/waiting")
        self.ground.rates = {1: self.waiting}
        self.kind = self.ground.event_type("year")
        with self.ground.here(), transaction() as session:
            session.execute(text("UPDATE webhook SET triggers = '[\"BOOKING_CREATED\"]' WHERE id < :last"), {
                "last": self.first + WEBHOOKS})  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.ground.__exit__()

    def grow(self, upto: int) -> None:
        """Have so many bookings there, the oldest first; each with ten deliveries."""
        minutes = f"({self.total} - i) * 525600.0 / {self.total}"
        words = {
            "count": COUNT,
            "start": AGO[self.dialect].format(minutes=f"10 + 5 * ({self.total} - i)"),
            "made": AGO[self.dialect].format(minutes=minutes),
            "no": NO[self.dialect],
            "webhooks": str(WEBHOOKS),
        }
        with self.ground.here():
            with transaction() as session:
                last = {
                    f"last_{table}": session.scalar(text(f"SELECT coalesce(max(id), 0) FROM {table}"))
                    for table in ("booking", "event")
                }
                values: dict[str, object] = {
                    "low": self.there + 1,
                    "high": upto,
                    "host": self.ground.host_id,
                    "kind": self.kind,
                }
                number = 'SELECT last_event_number + 1 FROM "user" WHERE id = :id'
                values["number"] = session.scalar(text(number), {"id": self.ground.host_id})
                values |= {"first": self.first, "body": BODY, "kept": self.total * (1 - KEPT), **last}
                for statement in FILL:
                    made = statement.format(**words)
                    session.execute(text(made), values)
            self.there = upto
            self.tidy()

    def tidy(self) -> None:
        """Have PostgreSQL's planner know what there is now, as autovacuum does; SQLite's is told nothing."""
        if self.dialect == "sqlite":
            return
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))

    def bytes(self) -> int:
        """Return how large the database is."""
        with self.ground.here():
            if self.dialect == "postgresql":
                query = "SELECT pg_database_size(current_database())"
                return int(db.session().scalar(text(query)) or 0)
            return sum(one.stat().st_size for one in Path(self.ground.folder).glob("calapp.sqlite3*"))


def cpu(year: Year) -> float:
    """Return the CPU seconds of this process and of the database server so far."""
    return time.process_time() + year.ground.database_cpu()


def cost_of(year: Year, times: int, call: Callable[[], object]) -> float:
    """Return the mean CPU seconds of a call that was made once before."""
    call()
    before = cpu(year)
    for _ in range(times):
        call()
    return (cpu(year) - before) / times


def measured(year: Year) -> dict[str, float]:
    """Return the seconds of each thing as the database is now."""
    ground = year.ground
    found: dict[str, float] = {}
    with ground.here(), transaction() as session:
        for webhook in session.scalars(db.select(Webhook)):
            webhook.active = webhook.id == year.waiting  # the worker is for these alone
    ground.worker.start()
    ground.drain(year.waiting, 1, 100)
    sent = []
    for _ in range(3):
        ground.fill(year.waiting, 1, SENT)
        before = ground.worker_cpu() + ground.database_cpu()
        ground.release(year.waiting, 1)
        with ground.here():
            wait(lambda: ground.drained(year.waiting, year.waiting + 1), every=0.1)
        sent.append((ground.worker_cpu() + ground.database_cpu() - before) / SENT)
    found["claim, send and record one of 2,000"] = statistics.median(sent)
    ground.worker.kill()
    ground.forget_waiting()
    with ground.here(), transaction() as session:
        for webhook in session.scalars(db.select(Webhook)):
            webhook.active = True
    ground.fill(year.waiting, 1, 1000)
    with ground.here():
        ground.hold(year.waiting, 1, None)
    found["a claim of 100"] = cost_of(year, TIMES, lambda: one_claim(ground))
    ground.forget_waiting()
    for name, call in requests_of(ground.settings, year).items():
        found[name] = cost_of(year, TIMES, call)
    return found


def requests_of(settings: Settings, year: Year) -> dict[str, Callable[[], object]]:
    """Return what people and programs ask for; each checks its response."""
    config.use(settings)
    app = create_app(settings)
    visitor, host = app.test_client(), app.test_client()
    with app.app_context():
        user = db.session.get_one(User, year.ground.host_id)
        cookie = {"_user_id": f"{user.id}.{user.session_token}", "_fresh": True}
        name = user.username
        db.session.remove()
    host.set_cookie("calapp", app.session_interface.get_signing_serializer(app).dumps(cookie))  # type: ignore[attr-defined]
    ahead = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)

    def book() -> None:
        start = ahead + next(year.starts) * timedelta(minutes=5)
        form = {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "name": "Ada", "email": "ada@example.com"}
        response = visitor.post(f"/{name}/year", data=form | {"time_zone": "Europe/London"})
        assert response.status_code == 303, response.text[:2000]

    def get(client: object, address: str) -> Callable[[], None]:
        def ask() -> None:
            response = client.get(address)  # type: ignore[attr-defined]
            assert response.status_code == 200, (address, response.status_code)

        return ask

    month = f"&start={ahead:%Y-%m-%d}&end={ahead + timedelta(days=30):%Y-%m-%d}"
    log = f"/integrations/webhooks/{year.first}/deliveries"
    last, old = year.there, year.there // 3
    return {
        "a booking by page": book,
        "the booker": get(visitor, f"/{name}/year"),
        "a month of slots": get(visitor, f"/v2/slots?eventTypeId={year.kind}{month}"),
        "Integrations": get(host, "/integrations"),
        "the log of a webhook": get(host, log),
        "the log of all": get(host, "/integrations/deliveries"),
        "the log, an old page": get(host, f"{log}?before={year.first + old * WEBHOOKS}"),
        "the log by a booking's uid": get(host, f"{log}?id=y{old}"),
        "the log, words of a new event": get(host, f"{log}?text=v{last}@"),
        "the log, words of an old event": get(host, f"{log}?text=v{old}@"),
        "the log, words that are nowhere": get(host, f"{log}?text=nobody"),
        "the log, failed ones (none)": get(host, f"{log}?state=failed"),
        "upcoming bookings": get(host, "/bookings/upcoming"),
        "past bookings": get(host, "/bookings/past"),
        "past bookings, a search": get(host, f"/bookings/past?q=v{old}@"),
        "a booking's page": get(host, f"/bookings/y{old}"),
    }


def pruned(year: Year) -> dict[str, float]:
    """Prune a day of what is kept; return the seconds of the longest transaction, and of all."""
    settings = year.ground.settings
    days = settings.retention_days
    config.use(replace(settings, retention_days=days - 1))
    longest, began, count = 0.0, time.perf_counter(), 1
    with year.ground.app.app_context():
        while count:
            with transaction() as session:
                step = time.perf_counter()
                count = maintenance.prune(session)
            longest = max(longest, time.perf_counter() - step)
        db.session.remove()
    config.use(settings)
    return {"pruning a day: the longest transaction": longest, "pruning a day": time.perf_counter() - began}


def measure(scale: float, into: Path) -> None:
    """Measure both sizes on both databases, and write the table into RESULTS.md."""
    total = max(1000, int(BOOKINGS * scale))
    began, load = datetime.now(UTC), machine.load()
    columns: dict[str, tuple[dict[str, float], dict[str, float], float]] = {}
    with Receiving() as receiver:
        for postgresql in (True, False):
            with Year(receiver, postgresql=postgresql, total=total) as year:
                name = year.ground.name
                print(f"  {name}: {total // 10:,} bookings …", flush=True)
                empty = year.bytes()
                year.grow(total // 10)
                small = measured(year)
                print(f"  {name}: {total:,} bookings …", flush=True)
                year.grow(total)
                size = (year.bytes() - empty) / (total * WEBHOOKS)
                columns[name] = (small, measured(year) | pruned(year), size)
    put_section(into / "RESULTS.md", "a year", "\n".join(_table(columns, total, scale, began, load)))


def _table(
    columns: dict[str, tuple[dict[str, float], dict[str, float], float]],
    total: int,
    scale: float,
    began: datetime,
    load: str,
) -> list[str]:
    how = (
        f"{began:%d %B %Y}, `make bench ARGS='--year --scale {scale:g}'`: {total:,} bookings and "
        f"{total * WEBHOOKS:,} deliveries of one host with {WEBHOOKS} webhooks, against a tenth of that; the "
        f"last month with bodies and attempts. CPU of the process and of the database server, the mean of "
        f"{TIMES}; pruning by the clock. Load average before the start {load}."
    )
    lines = [
        "### A year behind it",
        "",
        how,
        "",
        "| | " + " | ".join(f"{name}, a tenth, ms | {name}, ms | ratio" for name in columns) + " |",
        "|---|" + "---|" * 3 * len(columns),
    ]
    names = list(dict.fromkeys(key for _, large, _ in columns.values() for key in large))
    for what in names:
        cells = []
        for small, large, _ in columns.values():
            with suppress(KeyError):
                after, before = large[what] * 1000, small.get(what, 0.0) * 1000
                ratio = f"{after / before:.2f}" if before else "–"
                cells.append(f"{before:.2f} | {after:.2f} | {ratio}" if before else f"– | {after:.1f} | –")
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    sizes = ", ".join(f"{size:,.0f} bytes on {name}" for name, (_, _, size) in columns.items())
    return [*lines, "", f"A delivery takes {sizes}, with its share of booking, event and attempts."]
