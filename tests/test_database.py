"""How long a commit takes, and how long a statement and a silent server may."""

import os
import signal
from dataclasses import replace

import click
import pytest
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app import create_app
from calapp import config
from calapp.config import Settings
from calapp.db import connection_options, db, prepare_engine, prepare_to_deliver
from tests.conftest import on_both_databases
from tests.postgres import Database

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

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


@on_postgresql
@pytest.mark.parametrize(("worker", "longest"), [(False, "15s"), (True, "1min")])
def test_o2_a_statement_has_a_time_limit(settings: Settings, worker: bool, longest: str) -> None:
    with create_app(settings, worker=worker).app_context():
        assert statement_timeout() == longest


@on_postgresql
def test_o2_a_statement_of_a_command_has_no_time_limit(settings: Settings) -> None:
    with click.Context(click.Command("prune")), create_app(settings).app_context():
        assert statement_timeout() == "0"


def statement_timeout() -> str:
    """What PostgreSQL says of a new connection of this app."""
    with db.engine.connect() as connection:
        longest = connection.exec_driver_sql("SHOW statement_timeout").scalar()
    db.engine.dispose()
    return longest


@on_postgresql
def test_a_page_whose_statement_takes_too_long_says_that_the_database_is_busy(settings: Settings) -> None:
    app = create_app(replace(settings, database_statement_timeout=1))
    app.add_url_rule("/slow", view_func=lambda: str(db.session.execute(text("SELECT pg_sleep(5)")).scalar()))
    response = app.test_client().get("/slow")
    with app.app_context():
        db.engine.dispose()
    assert response.status_code == 503


def test_o2_a_connection_whose_server_is_frozen_is_given_up(own_postgresql: Database) -> None:
    engine = create_engine(own_postgresql.empty())
    prepare_engine(engine, worker=False, statement_seconds=1, network_seconds=0)
    with engine.connect() as connection:
        server = connection.scalar(text("SELECT pg_backend_pid()"))
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(OperationalError) as raised:
                connection.execute(text("SELECT 1"))
        finally:
            os.kill(server, signal.SIGCONT)
    assert raised.value.connection_invalidated
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_o2_a_database_server_that_has_gone_silent_is_given_up_after_ten_seconds() -> None:
    settings = config.prepare({}, database_url="postgresql+psycopg://calapp@db.example/calapp")
    limits = connection_options(settings)
    assert limits["connect_timeout"] == 5
    assert limits["tcp_user_timeout"] == 10_000
    assert limits["keepalives_idle"] + limits["keepalives_interval"] * limits["keepalives_count"] <= 11


def test_a_limit_in_the_address_of_the_database_has_precedence() -> None:
    address = "postgresql+psycopg://calapp@db.example/calapp?connect_timeout=3"
    assert "connect_timeout" not in connection_options(config.prepare({}, database_url=address))
