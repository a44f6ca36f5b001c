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
OF_THE_WEBSITE = (
    "calapp.website",
    "calapp.cli",
    "flask_migrate",
    "alembic",
    "markdown_it",
    "prometheus_client",
)


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], set[str]]:
    said = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    modules, tables = json.loads(said)
    return set(modules), set(tables)


@pytest.mark.parametrize("name", OF_THE_WEBSITE)
def test_a_worker_holds_nothing_that_only_requests_and_commands_need(
    loaded: tuple[set[str], set[str]], name: str
) -> None:
    assert name not in loaded[0]


def test_a_worker_knows_every_table(loaded: tuple[set[str], set[str]]) -> None:
    assert loaded[1] == {table.name for table in db.metadata.sorted_tables}
