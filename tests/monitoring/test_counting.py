"""Several processes count, each for itself, into one table."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from flask import Flask
from sqlalchemy import select

from calapp.config import Settings
from calapp.db import db
from calapp.monitoring.models import Tally
from tests.conftest import on_both_databases
from tests.running import ROOT, wait_until

pytestmark = on_both_databases

# Counts as many as each line asks for, and ends as a server does when nothing more comes.
PROCESS = """
import sys
from app import create_app
from calapp import counters
from calapp.monitoring import service

service.ADDED_EVERY = float(sys.argv[1])
with service.counting(create_app()):
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            counters.count(counters.EVENTS, "BOOKING_CREATED")
        print("counted", flush=True)
"""


class Counting:
    """A process that counts."""

    def __init__(self, settings: Settings, every: float) -> None:
        env = {"CALAPP_DATA_DIR": str(settings.data_dir), "DATABASE_URL": settings.database_url}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(every)],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Counting":
        assert self.process.stdout.readline() == "ready\n"
        return self

    def count(self, number: int) -> None:
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "counted\n"

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def saved() -> float:
    db.session.rollback()
    return db.session.scalar(select(Tally.value)) or 0


@pytest.fixture
def two(app: Flask, settings: Settings) -> Iterator[list[Counting]]:
    with ExitStack() as stack:
        yield [stack.enter_context(one) for one in (Counting(settings, 0.05), Counting(settings, 60))]


def test_what_several_processes_count_is_added_up(two: list[Counting]) -> None:
    often, at_its_end = two
    often.count(40)
    wait_until(lambda: saved() == 40)
    often.count(2)
    at_its_end.count(300)
    often.process.communicate()
    at_its_end.process.communicate()
    assert saved() == 342


def test_a_killed_process_loses_only_what_it_counted_last(two: list[Counting]) -> None:
    often, killed = two
    often.count(40)
    killed.count(300)
    killed.process.kill()
    wait_until(lambda: saved() == 40)
    assert killed.process.wait() < 0
