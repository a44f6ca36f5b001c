"""Fixtures: a real database for every test, a host, and people signed in."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from pathlib import Path
from weakref import WeakSet

import pytest
import time_machine
from flask import Flask, has_app_context
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from app import create_app
from calapp import config
from calapp import statements as plain
from calapp.accounts.models import User
from calapp.availability.models import WeeklyHours
from calapp.clock import now
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.direct import AnySession
from calapp.event_types.models import EventType
from calapp.monitoring import service
from tests import postgres, quick

quick.work_in_memory()
quick.compile_routes_once()
quick.register_routes_once()
quick.ask_servers_once()
quick.compile_templates_once()
quick.compile_statements_once()

PASSWORD = "correct horse"
PASSWORD_HASH = generate_password_hash(PASSWORD, method="scrypt:1024:8:1")


# Long files first, so that no process of the tests is left alone with one at the end.
LONG = ("browser", "faults", "processes", "journey", "bench", "upgrade", "simulate", "privacy", "api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long files in front; the order within a file stays."""
    places = {folder: place for place, folder in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(LONG)))


class ByFile(LoadFileScheduling):
    """Give a file to one process, and all those of the browser to two, so that not each starts a browser."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if not file.startswith("tests/browser/"):
            return file
        return "looks" if file.endswith(LOOKS) else "clicks"


LOOKS = ("test_look.py", "test_log.py", "test_host_pages.py")  # half of the time of the browser


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_finish() -> None:
    quick.collect_garbage_seldom()


ENGINES: WeakSet[Engine] = WeakSet()


@event.listens_for(Engine, "engine_connect")
def remember_engine(connection: Connection) -> None:
    """Note which engines a test has used."""
    ENGINES.add(connection.engine)


@pytest.fixture(autouse=True)
def closed_databases() -> Iterator[None]:
    """Close what a test left open: since Python 3.13, SQLite warns of a connection that nobody closed."""
    yield
    if has_app_context():  # of a module's world, whose session may still read
        db.session.rollback()
    for engine in list(ENGINES):
        if engine.dialect.name == "sqlite":
            engine.dispose()
    ENGINES.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Wait for who still asks a database and was given up, as on a slow machine, before it is closed."""
    for thread in threading.enumerate():
        if thread.name == service.ASKER:
            thread.join(30)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with every migration applied, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    app = create_app(config.prepare({}, data_dir=folder))
    with app.app_context():
        upgrade()
        db.session.execute(db.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        db.session.remove()
        db.engine.dispose()
    return folder / "calapp.sqlite3"


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The PostgreSQL server of this run, with a migrated database to copy; gives its address."""
    with postgres.server(tmp_path_factory.getbasetemp().parent) as address:
        yield address


@pytest.fixture(scope="session")
def own_postgresql(postgresql: str) -> Iterator[postgres.Database]:
    """The database of this process on PostgreSQL."""
    own = postgres.Database(postgresql)
    yield own
    own.close()


class Clock:
    """The clock of this process and of the database, moved together."""

    def __init__(self, traveller: time_machine.Traveller, database: str) -> None:
        self.traveller = traveller
        self.database = database

    def shift(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.traveller.shift(seconds)
        if self.database:
            postgres.run_sql(self.database, f"UPDATE moved.by SET seconds = seconds + {seconds}")


@pytest.fixture
def clock(database: str) -> Iterator[Clock]:
    """A clock that goes on by itself and can be moved."""
    with time_machine.travel(now(), tick=True) as traveller:
        yield Clock(traveller, database)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The address of an empty, migrated database: SQLite (empty address), or PostgreSQL.

    A module that runs on both says `pytestmark = on_both_databases`.
    """
    if getattr(request, "param", "sqlite") == "sqlite":
        return ""
    return request.getfixturevalue("own_postgresql").empty()


on_both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def settings(tmp_path: Path, database: str) -> Settings:
    """The settings of the test's app; a test module may override this fixture."""
    more = {"database_url": database} if database else {}
    networks = config._networks("127.0.0.0/8,::1/128")
    return config.prepare({}, data_dir=tmp_path / "data", webhook_allowed_networks=networks, **more)


def apart(wsgi_app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Give every request contexts of its own, as a server does: no sign-in leaks into the next request."""

    def call(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
        answer = Context().run(wsgi_app, environ, start_response)
        if has_app_context():
            db.session.rollback()  # so that the test reads what the request wrote
        return answer

    return call


@pytest.fixture
def app(settings: Settings, migrated: Path) -> Iterator[Flask]:
    """The app on a database of its own, without CSRF tokens; tests/test_headers.py has them on."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if settings.sqlite:
        shutil.copy(migrated, settings.data_dir / "calapp.sqlite3")
    app = create_app(settings)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    app.wsgi_app = apart(app.wsgi_app)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def session(app: Flask) -> Session:
    """The session of the test's app context, for reading; write with the `saved` fixture or transaction()."""
    return db.session()


@pytest.fixture
def saved(app: Flask) -> Callable[..., None]:
    """Return a function that commits new objects."""

    def save(*objects: object) -> None:
        with transaction() as session:
            session.add_all(objects)

    return save


@pytest.fixture
def change(app: Flask) -> Callable[..., None]:
    """Return a function that sets attributes of a stored object and commits."""

    def set_attributes(stored: object, **values: object) -> None:
        with transaction():
            for name, value in values.items():
                setattr(stored, name, value)

    return set_attributes


def make_user(username: str, zone: str = "Europe/Berlin") -> User:
    """Make a host who is there on weekdays from 9 to 17."""
    return User(
        username=username,
        name=username.title(),
        email=f"{username}@example.com",
        password_hash=PASSWORD_HASH,
        time_zone=zone,
        session_token=f"session-{username}",
        calendar_token=f"calendar-{username}",
    )


@pytest.fixture
def rick(app: Flask) -> User:
    """The host, in Berlin, Monday to Friday 9 to 17."""
    user = make_user("rick")
    with transaction() as session:
        session.add(user)
        session.flush()
        hours = {"user_id": user.id, "start_minute": 540, "end_minute": 1020}
        session.add_all(WeeklyHours(weekday=day, **hours) for day in range(5))
    return user


@pytest.fixture
def bob(saved: Callable[..., None]) -> User:
    """Another host, a stranger to Rick."""
    user = make_user("bob")
    saved(user)
    return user


@pytest.fixture
def quick_chat(rick: User, saved: Callable[..., None]) -> EventType:
    """Rick's quick chat of 15 minutes."""
    event_type = EventType(user_id=rick.id, title="Quick chat", slug="quick-chat", length=15)
    saved(event_type)
    return event_type


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor's browser without JavaScript."""
    return app.test_client()


@pytest.fixture
def statements(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the database is sent from here on, but for BEGIN."""
    sent: list[str] = []
    execute = plain.execute

    def note(_connection, _cursor, statement: str, *_more) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    def execute_noted(session: AnySession, statement: str, values: object) -> object:
        sent.append(statement)
        return execute(session, statement, values)

    monkeypatch.setattr(plain, "execute", execute_noted)
    event.listen(db.engine, "before_cursor_execute", note)
    yield sent
    event.remove(db.engine, "before_cursor_execute", note)


def signed_in(app: Flask, user: User) -> FlaskClient:
    """Return a browser in which this user is signed in."""
    browser = app.test_client()
    with browser.session_transaction() as cookies:
        cookies["_user_id"] = user.get_id()
        cookies["_fresh"] = True
    return browser


@pytest.fixture
def rick_client(app: Flask, rick: User) -> FlaskClient:
    """Rick's browser, signed in."""
    return signed_in(app, rick)


@pytest.fixture
def bob_client(app: Flask, bob: User) -> FlaskClient:
    """Bob's browser, signed in."""
    return signed_in(app, bob)
