"""The plain design to compare with: an RQ job per delivery, a forking worker, requests.post, one row."""

import hashlib
import hmac
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Self

import psutil
import requests
from redis import Redis
from rq import Queue

from tools.bench.receiving import Receiving, wait

ROOT = Path(__file__).parents[2]


def prepare(path: str, url: str, body: str, count: int) -> None:
    """Add `count` waiting deliveries to a database, and make it when it is not there."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            """CREATE TABLE IF NOT EXISTS delivery
  (id INTEGER PRIMARY KEY, url TEXT, body TEXT, status INTEGER)"""
        )
        rows = ((url, body) for _ in range(count))
        connection.executemany("INSERT INTO delivery (url, body) VALUES (?, ?)", rows)


def deliver(path: str, delivery_id: int) -> None:
    """Read the row, sign, post, write the answer: the job of one delivery."""
    connection = sqlite3.connect(path, timeout=30)
    url, body = connection.execute("SELECT url, body FROM delivery WHERE id = ?", (delivery_id,)).fetchone()
    signature = hmac.new(b"secret", body.encode(), hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Cal-Signature-256": signature,
        "webhook-id": f"plain-{delivery_id}",
    }
    answer = requests.post(url, data=body.encode(), headers=headers, timeout=15)
    connection.execute("UPDATE delivery SET status = ? WHERE id = ?", (answer.status_code, delivery_id))
    connection.commit()
    connection.close()


class Plain:
    """The plain design at work: RQ's own default worker, which forks for each job, on a queue of its own."""

    def __init__(self, folder: Path, redis_url: str, receiver: Receiving) -> None:
        self.path = str(folder / "plain.sqlite3")
        self.url = receiver.url("/ok/plain")
        self.receiver = receiver
        self.queue = Queue("plain", connection=Redis.from_url(redis_url))
        self.command = [sys.executable, "-m", "rq.cli", "worker", "plain", "--url", redis_url, "--quiet"]
        self.made = 0

    def __enter__(self) -> Self:
        self.worker = psutil.Popen(self.command, cwd=ROOT, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.terminate()
        self.worker.wait()

    def rows(self, body: str, count: int) -> range:
        """Add waiting rows; return their ids."""
        prepare(self.path, self.url, body, count)
        self.made += count
        return range(self.made - count + 1, self.made + 1)

    def cpu(self) -> float:
        """Return the CPU seconds of the worker so far, and of every child that it has forked."""
        one = self.worker.cpu_times()
        return one.user + one.system + one.children_user + one.children_system

    def run(self, body: str, count: int) -> tuple[float, float]:
        """Deliver so many; return deliveries a second, from the first hit to the last, and CPU for each."""
        rows = self.rows(body, count)
        self.receiver.take()
        cpu = self.cpu()
        for row in rows:
            self.queue.enqueue(deliver, self.path, row)
        hits = self.hits(count)
        times = sorted(at for _, at in hits)
        wait(lambda: not self.queue.count, every=0.05)
        time.sleep(0.3)  # the last child is waited for, and counted
        return (count - 1) / (times[-1] - times[0]) * 1e9, (self.cpu() - cpu) / count

    def hits(self, count: int) -> list[tuple[str, int]]:
        """Wait for so many hits of this design, and none of others that are late; return name and time."""
        found: list[tuple[str, int]] = []

        def complete() -> bool:
            taken = self.receiver.take()
            found.extend((name, at) for path, name, at in taken if path == "/ok/plain")
            return len(found) >= count

        wait(complete, every=0.05)
        return found

    def latencies(self, body: str, count: int, pause: float) -> list[float]:
        """Deliver one at a time, the worker idle before each; return seconds from commit to first byte."""
        waited = []
        self.receiver.take()
        for row in self.rows(body, count):
            begun = time.monotonic_ns()
            self.queue.enqueue(deliver, self.path, row)
            [(_, at)] = self.hits(1)
            waited.append((at - begun) / 1e9)
            time.sleep(pause)
        return waited
