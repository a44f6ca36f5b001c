"""Records events as bookings do, one transaction each; of another checkout in a child process.

`python recorder.py ROOT` reads commands from its standard input, a JSON list each, and answers each with a
line of JSON. What it imports of Calapp has the same names in a59da6c, which figures are given against.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

EVERY = 0.02  # seconds between two events that are alone
URL = "http://127.0.0.1"
FAR = "2999-01-01 00:00:00.000000"

Begun = dict[str, int]  # when each event was committed, in monotonic nanoseconds


class Recorder:
    """Records for one event type of a host, which has a webhook; inside an app context."""

    def __init__(self, host_id: int, event_type_id: int) -> None:
        self.host_id = host_id
        self.event_type_id = event_type_id

    def one(self, begun: Begun) -> None:
        """Record an event as a booking does, and note when it was committed."""
        from calapp.accounts.service import lock_user
        from calapp.db import after_commit, transaction
        from calapp.deliveries import outbox

        committed: list[int] = []
        chain = f"alone-{time.monotonic_ns()}"
        with transaction() as session:
            # Before the wake.
            after_commit(session, "stamp", lambda: committed.append(time.monotonic_ns()))
            event = outbox.record(
                session,
                user=lock_user(session, self.host_id),
                trigger="BOOKING_CREATED",
                payload={"description": 1900 * "x"},
                chain=chain,
                sequence=1,
                subject=chain,
                event_type_id=self.event_type_id,
            )
            name = event.uid
        begun[name] = committed[0]

    def alone(self, count: int) -> tuple[Begun, float]:
        """Record so many, each when all has come to rest; return what was begun, and this process's CPU."""
        begun: Begun = {}
        cpu = time.process_time()
        for _ in range(count):
            next_at = time.monotonic() + EVERY
            self.one(begun)
            time.sleep(max(0.0, next_at - time.monotonic()))
        return begun, time.process_time() - cpu

    def steadily(self, seconds: float) -> tuple[Begun, float]:
        """Record as quickly as one process can; return what was begun, and this process's CPU."""
        begun: Begun = {}
        until, cpu = time.monotonic() + seconds, time.process_time()
        while time.monotonic() < until:
            self.one(begun)
        return begun, time.process_time() - cpu

    def paced(self, rate: float, seconds: float) -> tuple[Begun, float]:
        """Record so many a second, later ones sooner after one that took long; return as `alone` does."""
        begun: Begun = {}
        began, cpu = time.monotonic(), time.process_time()
        for number in range(round(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.one(begun)
        return begun, time.process_time() - cpu

    def drained(self) -> bool:
        """Return whether nothing waits; on a connection of its own, so that nothing of it stays open."""
        from sqlalchemy import text

        from calapp.db import db

        with db.engine.connect() as connection:
            query = "SELECT 1 FROM delivery WHERE state = 'waiting' LIMIT 1"
            return connection.execute(text(query)).first() is None

    def fill(self, count: int) -> None:
        """Let so many wait until `release`."""
        from sqlalchemy import text

        from calapp.db import db, transaction

        sqlite = db.engine.dialect.name == "sqlite"
        series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
        body = json.dumps({"triggerEvent": "BOOKING_CREATED", "payload": {"description": 1900 * "x"}})
        with transaction() as session:
            session.execute(text("UPDATE webhook SET hold_until = :far"), {"far": FAR})
            before = session.scalar(text("SELECT coalesce(max(number), 0) FROM event"))
            values = {"count": count, "before": before, "host": self.host_id, "body": body}
            session.execute(
                text(f"""INSERT INTO event
  (uid, user_id, number, trigger, chain, sequence, subject, search, body, created_at)
{series} SELECT 'evt_bench' || (:before + i), :host, :before + i, 'BOOKING_CREATED', 'b' || (:before + i), 1,
  'b' || (:before + i), '', :body, CURRENT_TIMESTAMP FROM n"""),
                values,
            )
            session.execute(
                text(f"""INSERT INTO delivery
  (event_id, webhook_id, chain, state, due_at, attempts, tries, manual, created_at)
SELECT event.id, webhook.id, chain, 'waiting', event.created_at, 0, 0, {"0" if sqlite else "false"},
  event.created_at FROM event CROSS JOIN webhook WHERE number > :before"""),
                {"before": before},
            )
            session.execute(text('UPDATE "user" SET last_event_number = :n'), {"n": before + count})
        if not sqlite:  # now what PostgreSQL's autovacuum would do in the midst of a measurement
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE delivery, event"))

    def release(self) -> None:
        """Make what waits due, and wake the worker."""
        from sqlalchemy import text

        from calapp import broker
        from calapp.db import transaction

        with transaction() as session:
            session.execute(text("UPDATE webhook SET hold_until = NULL"))
        (getattr(broker, "wake_workers", None) or broker.nudge)()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close this process's connections, so that their server need not wait for them."""
        from calapp.db import db

        db.session.remove()
        db.engine.dispose()


def prepared(url: str) -> tuple[Any, Recorder]:
    """Make the database of this process's environment, with a host whose webhook leads to an address."""
    from flask_migrate import upgrade

    from app import create_app
    from calapp import config
    from calapp.accounts.models import User
    from calapp.db import transaction
    from calapp.event_types.models import EventType
    from calapp.webhooks.models import Webhook

    prepare = getattr(config, "prepare", None) or config.load  # type: ignore[attr-defined]
    settings = prepare(os.environ)
    with create_app(settings).app_context():
        upgrade()
    app = create_app(settings, worker=True)
    with app.app_context():
        config.use(settings)
        with transaction() as session:
            user = User(
                username="rick", name="Rick", email="rick@example.com", password_hash="", time_zone="UTC",
                session_token="s", calendar_token="c",
            )  # fmt: skip
            session.add(user)
            session.flush()
            kind = EventType(user_id=user.id, title="Chat", slug="chat", length=15, notice=0)
            session.add(kind)
            session.flush()
            hook = Webhook(user_id=user.id, subscriber_url=url, triggers=["BOOKING_CREATED"])
            hook.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            hook.event_type_id = kind.id
            session.add(hook)
            return app, Recorder(user.id, kind.id)


def main(root: str, url: str) -> None:
    """Do what is asked until the standard input ends."""
    sys.path[:] = [root, *(one for one in sys.path if Path(one or ".").resolve() != Path(__file__).parent)]
    logging.getLogger("alembic").setLevel(logging.WARNING)
    app, recorder = prepared(url)
    with app.app_context():
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print(json.dumps(getattr(recorder, name)(*arguments)), flush=True)
        recorder.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
