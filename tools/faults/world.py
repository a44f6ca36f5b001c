"""A whole Calapp for one experiment: its processes, a host who is there round the clock, and the count."""

import json
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Self

import requests
from flask_migrate import upgrade
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

from app import create_app
from calapp import config
from calapp.accounts.models import User
from calapp.availability.models import WeeklyHours
from calapp.bookings.models import Booking
from calapp.db import db, transaction
from calapp.deliveries.models import Attempt, Delivery, Event, State
from calapp.event_types.models import EventType
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.running import TOKEN
from tools.faults.parts import PATIENCE, PostgreSQL, Valkey, Web, Worker, environment, free_port
from tools.faults.report import Finding
from tools.faults.witness import SECRET, Witness

LOOPBACK = "127.0.0.0/8,::1/128"
SCHEDULE = "1,1,2,3,5,5,5,10"
STEP = timedelta(minutes=5)


@dataclass(frozen=True)
class Posted:
    """One booking as the visitor saw it: status (0 without an answer), seconds, and when the answer came.

    `error` says why there was none.
    """

    status: int
    seconds: float
    error: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Tally:
    """What became of committed bookings."""

    bookings: int
    lost: int
    doubled: int
    ghosts: int
    unsigned: int

    def __str__(self) -> str:
        return (
            f"{self.bookings} bookings: {self.lost} lost, {self.doubled} doubled, {self.ghosts} ghosts, "
            f"{self.unsigned} bad signatures"
        )


class World:
    """The processes of one Calapp on loopback; `with World() as world`."""

    password = "demo"  # the host's

    headers: Mapping[str, str] = {}  # of every visitor's request
    trusted: str | bool = True  # file of the certificate authority that visitors trust, where it is a test's

    def __init__(
        self, *, postgresql: bool = False, staged: bool = False, megabytes: int = 0, **settings: str
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="calapp-f"))
        self.postgresql = PostgreSQL(self.folder, megabytes) if postgresql else None
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        own = {
            "PORT": str(port),
            "REDIS_URL": f"unix://{self.folder}/valkey.sock",
            "RATE_LIMITS": "off",
            "WEBHOOK_TIMEOUT": "5",
            "WEBHOOK_RETRY_SCHEDULE": SCHEDULE,
            "WEBHOOK_ALLOWED_NETWORKS": LOOPBACK,
        }
        if self.postgresql:
            own |= {"DATABASE_URL": self.postgresql.url, "WORKER_PROCESSES": "1"}
        if staged:
            own["STAGE"] = str(self.folder)
        self.environment = environment(self.folder, **(own | settings))
        self.valkey = Valkey(self.folder, self.environment)
        self.web = Web(self.folder, self.environment)
        self.worker = Worker(self.folder, self.environment)
        self.witness = Witness()
        self.first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
        self.taken = 0
        self.lock = threading.Lock()
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if self.postgresql:
            self.stack.callback(self.postgresql.stop)
        self.stack.enter_context(self.witness)
        self.stack.enter_context(self._database())
        for part in (self.valkey, self.worker, self.web):
            self.stack.callback(part.stop)
        self.valkey.start()
        self.web.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Make the tables and the host, and keep a context in which experiments may look."""
        settings = config.prepare(self.environment)
        if settings.sqlite:
            shutil.copy(migrated_sqlite(), self.folder / "calapp.sqlite3")
        app = create_app(settings)
        with app.app_context():
            if not settings.sqlite:
                upgrade()
                logging.getLogger("alembic").setLevel(logging.WARNING)
            self.host_id, self.event_type_id = seed(self.password)
            yield
            db.session.remove()
            db.engine.dispose()

    # What people do

    def webhook(self, path: str = "/hook", url: str | None = None, **values: object) -> int:
        """Add a webhook of the host that leads to the witness, or elsewhere; return its id."""
        triggers = [str(trigger) for trigger in OF_BOOKINGS]
        with transaction() as session:
            webhook = Webhook(
                user_id=self.host_id,
                subscriber_url=url or self.witness.url(path),
                **({"secret": SECRET, "triggers": triggers} | values),
            )
            session.add(webhook)
            session.flush()
            return webhook.id

    def lengthen(self, minutes: int) -> None:
        """Make the host's meetings longer; there is still one every five minutes."""
        with transaction() as session:
            session.get_one(EventType, self.event_type_id).length = minutes

    def cancel(self, uids: Sequence[str]) -> None:
        """Cancel bookings by their visitors' links."""
        for uid in uids:
            page = f"{self.address}/booking/{uid}/cancel"
            assert requests.post(page, data={"reason": "Ill"}, timeout=30).status_code == 200

    def next_start(self) -> datetime:
        """Return a time that nobody has asked for yet."""
        with self.lock:
            self.taken += 1
            return self.first + self.taken * STEP

    def post(self, start: datetime | None = None, timeout: float = 30.0, address: str = "") -> Posted:
        """Book by the form; at a new time and by the first web server unless others are given."""
        chosen = start or self.next_start()
        form = {
            "start": f"{chosen:%Y-%m-%dT%H:%M:%SZ}",
            "name": "Ada Byron",
            "email": "ada@example.com",
            "time_zone": "Europe/London",
        }
        began = time.monotonic()
        try:
            answer = requests.post(
                f"{address or self.address}/rick/chat",
                data=form,
                headers=self.headers,
                timeout=timeout,
                allow_redirects=False,
                verify=self.trusted,
            )
        except requests.RequestException as error:
            return Posted(0, time.monotonic() - began, f"{type(error).__name__}: {error}")
        return Posted(answer.status_code, time.monotonic() - began)

    def book(self, count: int, *, threads: int = 4, pause: float = 0.0) -> list[Posted]:
        """Book so many times with so many visitors side by side, each resting `pause` seconds after one."""

        def one(_: int) -> Posted:
            posted = self.post()
            time.sleep(pause)
            return posted

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, range(count)))

    def signed_in(self) -> requests.Session:
        """Return a browser in which the host is signed in."""
        browser = requests.Session()
        form = {"username": "rick", "password": self.password}
        assert self.submit(browser, "/login", form).status_code == 200
        return browser

    def submit(
        self, browser: requests.Session, path: str, form: Mapping[str, object], *, page: str | None = None
    ) -> requests.Response:
        """Send a form as a browser does, with the token of the page that it stands on."""
        shown = browser.get(f"{self.address}{page or path}").text
        found = TOKEN.search(shown)
        assert found, shown
        return browser.post(f"{self.address}{path}", data={"csrf_token": found[1], **form})

    # What is there

    def session(self) -> Session:
        """Return a session that sees what is committed by now."""
        session = db.session()
        session.rollback()
        session.expire_all()
        return session

    def count(self, *conditions: object) -> int:
        """Count deliveries."""
        return self.session().scalar(select(func.count()).select_from(Delivery).where(*conditions))

    def attempts(self, webhook_id: int) -> Sequence[Attempt]:
        """Return the attempts at a webhook, oldest first."""
        query = select(Attempt).where(Attempt.webhook_id == webhook_id).order_by(Attempt.id)
        return self.session().scalars(query).all()

    def uids(self) -> Sequence[str]:
        """Return the uids of all bookings, oldest first."""
        return self.session().scalars(select(Booking.uid).order_by(Booking.id)).all()

    def event_times(self) -> dict[str, float]:
        """Return when each event was made, by its uid; seconds of the wall clock."""
        rows = self.session().execute(select(Event.uid, Event.created_at))
        return {row.uid: row.created_at.timestamp() for row in rows}

    def held_for(self, webhook_id: int) -> float:
        """Return for how many more seconds a webhook is left alone because it asked for it."""
        asked = self.session().scalar(select(Webhook.retry_after_until).where(Webhook.id == webhook_id))
        return (asked - datetime.now(UTC)).total_seconds() if asked else 0.0

    def all_delivered(self) -> bool:
        """Return whether there is nothing left to deliver."""
        return self.count(Delivery.state != State.DELIVERED) == 0

    def wait_delivered(self, seconds: float = PATIENCE) -> float:
        """Wait until everything is delivered; return the seconds that it took."""
        return self.wait(self.all_delivered, seconds)

    def wait(self, true: Callable[[], object], seconds: float = PATIENCE) -> float:
        """Wait until something is so, at most so many seconds; return how long it took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if true():
                break
            time.sleep(0.02)
        return time.monotonic() - began

    def tally(self, path: str = "/hook") -> Tally:
        """Count what is lost, doubled and ghosted of the bookings, at one path of the witness."""
        committed = set(self.uids())
        hits = self.witness.of(path)
        told = {hit.uid for hit in hits if hit.signed}
        return Tally(
            bookings=len(committed),
            lost=len(committed - told),
            doubled=len(hits) - len({hit.event_id for hit in hits}),
            ghosts=len({hit.uid for hit in hits} - committed),
            unsigned=sum(not hit.signed for hit in hits),
        )

    def judge(self, finding: Finding, *, doubles: int = 0, path: str = "/hook") -> Tally:
        """Count and expect: nothing lost, no ghost, no bad signature, and no more doubles than these."""
        tally = self.tally(path)
        events = self.session().scalar(select(func.count()).select_from(Event))
        finding.note(f"{tally}; {events} events")
        bad = tally.lost or tally.ghosts or tally.unsigned
        finding.expect(
            f"nothing lost, no ghost, every signature holds, at most {doubles} doubled",
            not bad and tally.doubled <= doubles,
        )
        return tally

    def move_clock(self, seconds: float) -> None:
        """Move the clock of staged programs."""
        draft = self.folder / "clock.new"
        draft.write_text(str(seconds))
        draft.replace(self.folder / "clock")

    def point(self, names: Mapping[str, list[str]]) -> None:
        """Give names of the stage their addresses."""
        draft = self.folder / "names.new"
        draft.write_text(json.dumps(dict(names)))
        draft.replace(self.folder / "names.json")


def seed(password: str) -> tuple[int, int]:
    """Make a host who is there round the clock; return the ids of the host and of the event type."""
    with transaction() as session:
        host = User(
            username="rick",
            name="Rick",
            email="rick@example.com",
            password_hash=generate_password_hash(password, method="scrypt:1024:8:1"),
            time_zone="UTC",
            session_token="session-rick",
            calendar_token="calendar-rick",
        )
        session.add(host)
        session.flush()
        for day in range(7):
            session.add(WeeklyHours(user_id=host.id, weekday=day, start_minute=0, end_minute=1440))
        chat = EventType(user_id=host.id, title="Chat", slug="chat", length=5, step=5, notice=0, max_days=365)
        session.add(chat)
        session.flush()
        return host.id, chat.id


@cache
def migrated_sqlite() -> Path:
    """Return an empty SQLite database with every migration applied, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="calapp-f"))
    app = create_app(config.prepare({}, data_dir=folder))
    with app.app_context():
        upgrade()
        logging.getLogger("alembic").setLevel(logging.WARNING)
        db.session.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        db.session.remove()
        db.engine.dispose()
    return folder / "calapp.sqlite3"
