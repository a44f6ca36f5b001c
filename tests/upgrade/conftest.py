"""The app on a database that the first release wrote and `flask db upgrade` brought to the present."""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import text

from app import create_app
from calapp import config
from calapp.clock import now
from calapp.config import Settings
from calapp.db import db, transaction
from tests import postgres
from tests.conftest import apart
from tests.deliveries.conftest import deliver, engine, receiver
from tests.receiver import Receiver
from tests.upgrade import first_release
from tests.upgrade.first_release import Schema

__all__ = ["deliver", "engine", "receiver"]  # fixtures


@dataclass(frozen=True)
class Upgraded:
    """An upgraded database, to be copied: the name of a file or of a database, and its two schemas."""

    name: str
    before: Schema
    after: Schema


def upgraded(settings: Settings, *, name: str) -> Upgraded:
    """Upgrade a database from the first release to the present."""
    with create_app(settings).app_context():
        try:
            if settings.sqlite:
                first_release.write_sqlite(Path(name))
            else:
                upgrade(revision="0001")
                with db.engine.begin() as connection:
                    first_release.insert_rows(connection)
            with db.engine.connect() as connection:
                before = first_release.schema(connection)
            upgrade()
            with db.engine.connect() as connection:
                after = first_release.schema(connection)
                if settings.sqlite:
                    connection.rollback()  # ends the read
                    connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        finally:
            db.engine.dispose()
    return Upgraded(name, before, after)


@pytest.fixture(scope="session")
def upgraded_file(tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    folder = tmp_path_factory.mktemp("first-release")
    return upgraded(config.prepare({}, data_dir=folder), name=str(folder / "calapp.sqlite3"))


@pytest.fixture(scope="session")
def upgraded_postgresql(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    name = f"first_release_{secrets.token_hex(4)}"
    postgres.run_sql(postgresql, f"CREATE DATABASE {name}")
    address = postgres.on(postgresql, name)
    folder = tmp_path_factory.mktemp("first-release")
    made = upgraded(config.prepare({}, data_dir=folder, database_url=address), name=name)
    postgres.run_sql(address, *postgres.CLOCK)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest) -> Upgraded:
    """The upgraded database, on SQLite and on PostgreSQL."""
    name = "upgraded_file" if request.param == "sqlite" else "upgraded_postgresql"
    return request.getfixturevalue(name)


@pytest.fixture
def settings(request: pytest.FixtureRequest, old: Upgraded, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a copy of the upgraded database; ten minutes have passed since it was written."""
    chosen = config.prepare(
        {},
        data_dir=tmp_path / "data",
        webhook_allowed_networks=config._networks("127.0.0.0/8,::1/128"),
        webhook_timeout=1.0,
    )
    today = first_release.WRITTEN_AT + timedelta(minutes=10)
    passed = (today - now()).total_seconds()
    if "/" in old.name:
        chosen.data_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(old.name, chosen.data_dir / "calapp.sqlite3")
    else:
        address = postgres.copy_of(request.getfixturevalue("postgresql"), old.name)
        postgres.run_sql(address, f"UPDATE moved.by SET seconds = {passed}")
        chosen = replace(chosen, database_url=address)
    with time_machine.travel(today, tick=True):
        yield chosen


@pytest.fixture
def app(settings: Settings, receiver: Receiver) -> Iterator[Flask]:
    """The app on the upgraded database, whose webhooks point to the receiver."""
    app = create_app(settings)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    app.wsgi_app = apart(app.wsgi_app)
    with app.app_context():
        with transaction() as session:
            session.execute(
                text("UPDATE webhook SET subscriber_url = replace(subscriber_url, :old, :new)"),
                {"old": first_release.RECEIVER, "new": receiver.url("")},
            )
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def host(app: Flask) -> FlaskClient:
    """Rick's browser, signed in with the password that he has had since the first release."""
    browser = app.test_client()
    signed_in = browser.post("/login", data={"username": "rick", "password": "demo"})
    assert signed_in.status_code == 303
    return browser
