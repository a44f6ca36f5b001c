"""How long a commit takes: bookings and events are on the disk, what became of deliveries soon."""

from flask import Flask

from calapp.db import db, prepare_to_deliver
from tests.conftest import on_both_databases

FULL, NORMAL = 2, 1  # SQLite's numbers


def test_a_commit_of_the_web_waits_for_the_disk(app: Flask) -> None:
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL


@on_both_databases
def test_a_process_that_delivers_commits_without_the_disk(app: Flask) -> None:
    prepare_to_deliver(db.engine)
    db.engine.dispose()
    sqlite = db.engine.dialect.name == "sqlite"
    asked = "PRAGMA synchronous" if sqlite else "SHOW synchronous_commit"
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql(asked).scalar() == (NORMAL if sqlite else "off")
