"""Transactions on the driver's own connections."""

import select
import sqlite3

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError, OperationalError

from calapp.db import after_commit, db, transaction
from calapp.direct import Direct, unasked
from calapp.errors import Busy
from calapp.statements import Plain
from tests.conftest import on_both_databases

# Of a table that has neither defaults nor other tables behind it.
ADD = Plain("INSERT INTO daily_hosts (day, hosts) VALUES (:day, 1)")


@pytest.fixture
def direct(app: Flask) -> Direct:
    with transaction() as session:
        session.connection().exec_driver_sql(
            "CREATE TABLE daily_hosts (day integer PRIMARY KEY, hosts integer)"
        )
    return Direct(db.engine)


def days(direct: Direct) -> list[int]:
    return [day for (day,) in direct.run("SELECT day FROM daily_hosts ORDER BY day")]


@on_both_databases
def test_what_is_written_in_a_transaction_is_there_after_it(direct: Direct) -> None:
    with direct.transaction() as writing:
        ADD.run(writing, day=1)
        with unasked(writing):
            ADD.run(writing, day=2)
        assert days(writing) == [1, 2]
        with unasked(writing):
            ADD.run(writing, day=3)
    assert days(direct) == [1, 2, 3]


@on_both_databases
def test_nothing_is_written_when_a_block_fails(direct: Direct) -> None:
    def fail() -> None:
        with direct.transaction() as writing:
            ADD.run(writing, day=1)
            with unasked(writing):
                ADD.run(writing, day=2)
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        fail()
    assert days(direct) == []


@on_both_databases
def test_what_nobody_asks_for_fails_with_the_commit(direct: Direct) -> None:
    def add_twice() -> None:
        with direct.transaction() as writing:
            ADD.run(writing, day=1)
            with unasked(writing):
                ADD.run(writing, day=1)

    with pytest.raises(IntegrityError):
        add_twice()
    assert days(direct) == []


@on_both_databases
def test_a_wish_for_after_the_commit_runs_after_it_and_only_then(direct: Direct) -> None:
    seen: list[list[int]] = []
    with direct.transaction() as writing:
        ADD.run(writing, day=1)
        after_commit(writing, "look", lambda: seen.append(days(direct)))
    assert seen == [[1]]


@on_both_databases
def test_a_second_transaction_inside_one_is_refused(direct: Direct) -> None:
    with direct.transaction(), pytest.raises(RuntimeError), direct.transaction():
        pass


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_writer_that_is_busy_for_too_long_is_said_so(direct: Direct) -> None:
    other = sqlite3.connect(db.engine.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    db.engine.update_execution_options(waits=0.01)
    with pytest.raises(Busy), direct.transaction():
        pass
    other.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_server_that_was_restarted_is_found_again(direct: Direct) -> None:
    def end_connection() -> None:
        with db.engine.connect() as other:
            [(pid,)] = direct.run("SELECT pg_backend_pid()")
            assert other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})").scalar()

    end_connection()
    assert days(direct) == []
    end_connection()
    with direct.transaction() as writing:
        ADD.run(writing, day=1)
    assert days(direct) == [1]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_that_is_lost_in_a_transaction_writes_nothing(direct: Direct) -> None:
    def lose_connection() -> None:
        with direct.transaction() as writing:
            ADD.run(writing, day=1)
            [(pid,)] = writing.run("SELECT pg_backend_pid()")
            with db.engine.connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
            ADD.run(writing, day=2)

    with pytest.raises(OperationalError):
        lose_connection()
    assert days(direct) == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_something_else_is_done_while_the_server_works(direct: Direct) -> None:
    worked = []

    def work(fd: int, events: int) -> None:
        poll = select.poll()
        poll.register(fd, events)
        worked.append(bool(poll.poll(5000)))  # until it answers

    with direct.transaction(work) as writing:
        with unasked(writing):
            ADD.run(writing, day=1)
        assert writing.run("SELECT 7, pg_sleep(0.05)")[0][0] == 7
        ADD.run(writing, day=2)
    assert worked
    assert all(worked)
    during = len(worked)
    assert days(direct) == [1, 2]
    assert len(worked) == during  # it is of that transaction alone


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_statement_fails_as_ever_while_something_else_is_done(direct: Direct) -> None:
    def add_twice() -> None:
        with direct.transaction(lambda _fd, _events: None) as writing:
            ADD.run(writing, day=1)
            ADD.run(writing, day=1)

    with pytest.raises(IntegrityError):
        add_twice()
    assert days(direct) == []
