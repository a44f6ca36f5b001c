"""What a worker holds in memory: what delivering and maintaining need, not what requests and commands do."""

import json
import subprocess
import sys

import pytest

from calapp.db import db
from tests.running import ROOT

LOADED = """
import json, sys
from sqlalchemy.orm import configure_mappers
import calapp.worker
from calapp.db import db
configure_mappers()
print(json.dumps([sorted(sys.modules), [table.name for table in db.metadata.sorted_tables]]))
"""
NOT_HELD = (
    "calapp.website",
    "calapp.cli",
    "calapp.rest.schemas",
    "calapp.incoming",
    "pydantic",
    "flask_migrate",
    "flask_wtf",
    "flask_limiter",
    "icalendar",
    "dateutil",
    "prometheus_client",
    "psycopg",
)


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], set[str]]:
    said = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    modules, tables = json.loads(said)
    return set(modules), set(tables)


@pytest.mark.parametrize("name", NOT_HELD)
def test_a_worker_on_sqlite_holds_nothing_that_it_does_not_need(
    loaded: tuple[set[str], set[str]], name: str
) -> None:
    assert name not in loaded[0]


def test_a_worker_knows_every_table(loaded: tuple[set[str], set[str]]) -> None:
    assert loaded[1] == {table.name for table in db.metadata.sorted_tables}
