"""`python -m tools.soak --hours 24 [--postgresql] [--seed N]`; exits with 1 when anything was lost."""

import argparse
import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

from sqlalchemy import func, select

from calapp.deliveries.models import Attempt, Delivery, Event, State
from tests.receiver import OK, answer
from tools.faults.world import Posted, World

SCHEDULE = "1,2,3,5,5,10,10,20,30,30,60,60"
PAUSES = (1.0, 15.0)  # seconds between two faults
BOOKINGS = 2.0  # a second, at most
IN_FLIGHT = 50  # requests that one death may double at most: WEBHOOK_CONCURRENCY
SETTLES = 600.0  # seconds within which everything must be delivered once nothing is killed any more
REPORT_EVERY = 60.0  # seconds


class Soak:
    """One run: visitors book without a pause while something is killed, stopped or failing."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.over = threading.Event()
        self.posted: list[Posted] = []
        self.done: Counter[str] = Counter()

    def book(self) -> None:
        """Book until it is over; a visitor whose web server dies sees no answer."""
        while not self.over.wait(1 / BOOKINGS):
            with suppress(AssertionError):
                self.posted.append(self.world.post())

    def faults(self) -> list[str]:
        """Return what may happen in this world."""
        names = ["kill_worker", "kill_child", "stop_worker", "kill_web", "kill_valkey", "freeze_valkey"]
        names += ["moody", "moody"]
        return [*names, "kill_postgresql"] if self.world.postgresql else names

    def kill_worker(self) -> None:
        self.world.worker.kill()
        self.world.worker.start()

    def kill_child(self) -> None:
        if children := self.world.worker.all()[1:]:
            with suppress(Exception):  # it may end in this moment
                self.rng.choice(children).kill()

    def stop_worker(self) -> None:
        self.world.worker.terminate()
        self.world.worker.start()

    def kill_web(self) -> None:
        self.world.web.kill()
        self.world.web.start()

    def kill_valkey(self) -> None:
        self.world.valkey.kill()
        self.world.valkey.start()

    def freeze_valkey(self) -> None:
        self.world.valkey.send(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.5, 4.0))
        self.world.valkey.send(signal.SIGCONT)

    def kill_postgresql(self) -> None:
        assert self.world.postgresql is not None
        self.world.postgresql.kill()
        self.world.postgresql.start()

    def moody(self) -> None:
        """Let one receiver fail in another way, or work again."""
        answers = (OK, OK, None, answer("503 Service Unavailable"), answer("500 Internal Server Error"))
        self.world.witness.answers["/moody"] = self.rng.choice(answers)

    def run(self, seconds: float) -> None:
        """Do faults until the time is over, then let everything settle."""
        until, report_at = time.monotonic() + seconds, time.monotonic() + REPORT_EVERY
        visitors = threading.Thread(target=self.book)
        visitors.start()
        try:
            while time.monotonic() < until:
                name = self.rng.choice(self.faults())
                getattr(self, name)()
                self.done[name] += 1
                if time.monotonic() > report_at:
                    report_at += REPORT_EVERY
                    print(
                        f"{sum(self.done.values())} faults, {len(self.posted)} requests to book", flush=True
                    )
                time.sleep(min(self.rng.uniform(*PAUSES), max(0.0, until - time.monotonic())))
        finally:
            self.over.set()
            visitors.join()
        self.world.witness.answers["/moody"] = OK
        self.kill_worker()

    def settled(self) -> bool:
        return self.world.count(Delivery.state == State.WAITING) == 0

    def judge(self) -> bool:
        """Print what the witness has counted beside what is stored; return whether nothing is missing."""
        took = self.world.wait(self.settled, SETTLES)
        self.world.worker.terminate()
        session = self.world.session()
        events = session.scalar(select(func.count(Event.id))) or 0
        attempts = session.scalar(select(func.count(Attempt.id))) or 0
        failed = self.world.count(Delivery.state == State.FAILED)
        waiting = self.world.count(Delivery.state == State.WAITING)
        deaths = sum(count for name, count in self.done.items() if name != "moody")
        confirmed = sum(one.status == 303 for one in self.posted)
        works = self.world.tally("/hook")
        hits, doubles = len(self.world.witness.hits), self.world.witness.doubles()
        print(f"faults: {', '.join(f'{name} {count}' for name, count in sorted(self.done.items()))}")
        print(f"visitors: {len(self.posted)} requests, {confirmed} confirmed; stored: {events} events")
        print(f"at the receiver that works: {works}")
        print(f"the witness saw {hits} requests, {doubles} of an event that it knew")
        print(f"the log has {attempts} attempts")
        print(f"waiting {waiting}, given up {failed}; settled after {took:.0f} s")
        held = {
            "nothing lost, made up or badly signed": not (works.lost or works.ghosts or works.unsigned),
            "every confirmed booking is stored": works.bookings >= confirmed,
            "nothing waits for ever": waiting == 0,
            "no more doubles than deaths can make": works.doubled <= IN_FLIGHT * deaths,
            "no attempt in the log that the witness did not see": attempts <= hits,
        }
        for words, true in held.items():
            print(f"{'ok  ' if true else 'NOT '} {words}")
        return all(held.values())


def main() -> int:
    """Run for the hours that are given."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak")
    parser.add_argument("--hours", type=float, default=24.0, help="may be a fraction, such as 0.05")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL, which is killed, too")
    given = parser.parse_args()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    database = "PostgreSQL" if given.postgresql else "SQLite"
    print(f"seed {given.seed}, {given.hours:g} hours, {database}", flush=True)
    with World(postgresql=given.postgresql, WEBHOOK_RETRY_SCHEDULE=SCHEDULE) as world:
        world.worker.start()
        world.webhook("/hook")
        world.webhook("/moody")
        soak = Soak(world, random.Random(given.seed))
        soak.run(given.hours * 3600)
        return 0 if soak.judge() else 1


if __name__ == "__main__":
    sys.exit(main())
