"""`python -m tools.bench.pages OTHER`: CPU per request of this checkout against another one's, in turn.

Each checkout answers in a process of its own, through Flask's test client: its `process_time` is what it
costs, whoever else uses the machine. The two take turns, a few requests each, so that they meet the same
load. `--profile NAME` shows where one kind of request spends it.
"""

import argparse
import cProfile
import importlib
import json
import os
import pkgutil
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
KINDS = ("booker", "click", "booking by page", "booking by API", "month of slots", "integrations")
DATABASES = ("SQLite", "PostgreSQL")
DAY = timedelta(days=1)
TURN = 10  # requests of one checkout before the other has its turn


def main() -> None:
    """Print the ratio for each kind of request."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.pages")
    parser.add_argument("other", type=Path, help="the root of another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=4, help="of ten requests each, in a round")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--only", choices=DATABASES)
    parser.add_argument("--profile", choices=KINDS)
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        answer(given.other, given.child)
    elif given.profile:
        profile(given.other, given.profile, given.turns * TURN)
    else:
        for database in DATABASES:
            if given.only in (None, database):
                print(table(database, given.other, given.rounds, given.turns, given.kinds), flush=True)


def table(database: str, other: Path, rounds: int, turns: int, kinds: tuple[str, ...]) -> str:
    """Return the ratio of each kind of request: its median, least and most of the rounds."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        with ExitStack() as stack:
            both = [stack.enter_context(Child(root, database)) for root in (ROOT, other)]
            for kind in kinds:
                times: tuple[list[float], ...] = ([], [])
                for turn in range(turns):
                    for place in (0, 1) if turn % 2 else (1, 0):
                        times[place].extend(both[place].ask(kind))
                found[kind].append((median(times[0]), median(times[1])))
    lines = [f"| {database} | this, ms | other, ms | ratio | least – most |", "|---|---|---|---|---|"]
    for kind, pairs in found.items():
        ratios = sorted(ours / theirs for ours, theirs in pairs)
        ours, theirs = (median(column) * 1000 for column in zip(*pairs, strict=True))
        spread = f"{ratios[0]:.2f} – {ratios[-1]:.2f}"
        lines.append(f"| {kind} | {ours:.2f} | {theirs:.2f} | {median(ratios):.2f} | {spread} |")
    return "\n".join(lines)


class Child:
    """The process of a checkout, with a database of its own."""

    def __init__(self, root: Path, database: str) -> None:
        self.root, self.database = root.resolve(), database

    def __enter__(self) -> "Child":
        self.stack = ExitStack()
        url = "sqlite"
        if self.database == "PostgreSQL":
            from tools.faults.parts import PostgreSQL

            folder = Path(tempfile.mkdtemp(prefix="calapp-b"))
            self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
            server = PostgreSQL(folder)
            self.stack.callback(server.stop)
            url = server.url
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "--child", url, str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.root,
        )
        self.stack.callback(self.process.communicate)
        for kind in KINDS:  # what is loaded at first does not count
            self.ask(kind)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def ask(self, kind: str) -> list[float]:
        """Return the CPU seconds of a turn of requests."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{kind}\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("["):  # else a line of its log
                found: list[float] = json.loads(line)
                return found
        raise RuntimeError(f"{self.root} has ended.")


def answer(root: Path, url: str) -> None:
    """Make a turn of requests of each kind that is asked for, and print the CPU seconds of each request."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        asks = prepared(root, Path(folder), url)
        for line in sys.stdin:
            times: list[float] = []

            def timed(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
                began = time.process_time()
                response = call(*arguments, **named)
                times.append(time.process_time() - began)  # noqa: B023 (called within this turn)
                return response

            for _ in range(TURN):
                asks[line.strip()](timed)
            print(json.dumps(times), flush=True)


def profile(root: Path, kind: str, requests: int) -> None:
    """Print where one kind of request spends its time, on SQLite."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        ask = prepared(root, Path(folder), "sqlite")[kind]
        for _ in range(5):
            ask()
        profiler = cProfile.Profile(time.process_time)
        for _ in range(requests):
            ask(profiler.runcall)
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(70)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def plainly(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call without watching."""
    return call(*arguments, **named)


def prepared(root: Path, folder: Path, url: str) -> dict[str, Callable[..., Any]]:
    """Give a host three webhooks and forty bookings; return a function for each kind of request."""
    sys.path[:] = [str(root), *(one for one in sys.path if Path(one or ".").resolve() != HERE.parent)]
    # Imported here: from the checkout that is measured.
    from flask_migrate import upgrade

    from app import create_app
    from calapp import (
        bookings,
        config,
    )
    from calapp.accounts.models import User
    from calapp.availability.models import WeeklyHours
    from calapp.db import db, transaction
    from calapp.event_types.models import EventType
    from calapp.webhooks.models import Webhook

    # In a59da6c, the checkout that figures are given against, some of this has another name.
    settings = {"RATE_LIMITS": "off", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    settings |= {} if url == "sqlite" else {"DATABASE_URL": url}
    prepare = getattr(config, "prepare", None) or config.load
    app = create_app(prepare(settings, data_dir=folder))
    known = {name for _, name, _ in pkgutil.iter_modules(bookings.__path__)}
    forms = importlib.import_module(f"calapp.bookings.{'visitors' if 'visitors' in known else 'entry'}")
    forms.by_robot = lambda _form: False  # type: ignore[attr-defined]
    new_token = getattr(forms, "new_token", None) or forms.new_attempt
    with app.app_context():
        upgrade()
        with transaction() as session:
            for name in ("few", "many"):
                user = User(
                    username=name, name=name.title(), email=f"{name}@example.com", password_hash="",
                    time_zone="Europe/Berlin", session_token=f"s-{name}", calendar_token=f"c-{name}",
                )  # fmt: skip
                session.add(user)
                session.flush()
                hours = {"start_minute": 0, "end_minute": 1440}
                session.add_all(WeeklyHours(user_id=user.id, weekday=day, **hours) for day in range(7))
                kind = EventType(user_id=user.id, title="Intro", slug="intro", length=15, notice=0)
                session.add(kind)
                for number in range(3 if name == "few" else 100):
                    url, triggers = f"http://127.0.0.1:9/{name}/{number}", ["BOOKING_CREATED"]
                    hook = Webhook(user_id=user.id, subscriber_url=url, triggers=triggers)
                    hook.secret = f"whsec_{number}"
                    session.add(hook)
            kind_id = session.scalars(db.select(EventType.id)).first()
        serializer = app.session_interface.get_signing_serializer(app)
        cookie = serializer.dumps({"_user_id": "2.s-many", "_fresh": True})
    asks = requests_of(app, kind_id, new_token, cookie)
    for _ in range(20):
        asks["booking by page"]()
        asks["booking by API"]()
    return asks


def requests_of(app: Any, kind_id: int, new_token: Callable[[], str], cookie: str) -> dict[str, Any]:
    """Return the requests; each checks its response."""
    visitor, host = app.test_client(), app.test_client()
    host.set_cookie("calapp", cookie)
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + DAY
    month = f"&start={first:%Y-%m-%d}&end={first + 30 * DAY:%Y-%m-%d}"
    taken = iter(range(10_000))

    def checked(response: Any, status: int = 200) -> None:
        assert response.status_code == status, response.get_data(as_text=True)[:2000]

    def person(number: int) -> dict[str, str]:
        return {"name": f"Visitor {number}", "email": f"v{number}@example.com"}

    def start(number: int) -> str:
        return f"{first + number * timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ}"

    def somewhere(number: int) -> dict[str, str]:
        return {"REMOTE_ADDR": f"100.64.{number // 250}.{number % 250}"}

    def book(call: Callable[..., Any] = plainly) -> None:
        number = next(taken)
        with app.app_context():
            form = {**person(number), "start": start(number), "time_zone": "Asia/Tokyo"}
            form["attempt"] = new_token()
        checked(call(visitor.post, "/few/intro", data=form, environ_base=somewhere(number)), 303)

    def book_by_api(call: Callable[..., Any] = plainly) -> None:
        number = next(taken)
        body = {"start": start(number), "eventTypeId": kind_id}
        body["attendee"] = {**person(number), "timeZone": "Asia/Tokyo"}
        checked(call(visitor.post, "/v2/bookings", json=body, environ_base=somewhere(number)), 201)

    def get(client: Any, address: str, **headers: str) -> Callable[..., None]:
        return lambda call=plainly: checked(call(client.get, address, headers=headers))

    click = {"HX-Request": "true"}
    return {
        "booker": get(visitor, "/few/intro?tz=America/New_York"),
        "click": get(visitor, f"/few/intro?tz=America/New_York&date={first + 3 * DAY:%Y-%m-%d}", **click),
        "booking by page": book,
        "booking by API": book_by_api,
        "month of slots": get(visitor, f"/v2/slots?eventTypeId={kind_id}{month}"),
        "integrations": get(host, "/integrations"),
    }


if __name__ == "__main__":
    main()
