"""The version before goes on serving while a database is upgraded, and after it: it finds what it knows."""

from sqlalchemy import String

from tests.upgrade import first_release
from tests.upgrade.conftest import Upgraded


def test_no_column_of_the_first_release_is_gone_or_holds_less(old: Upgraded) -> None:
    for place, (kind, can_be_null, _) in old.before.items():
        now_kind, now_can_be_null, _ = old.after[place]
        assert now_can_be_null == can_be_null, place
        if isinstance(kind, String):
            assert isinstance(now_kind, String), place
            assert now_kind.length is None or now_kind.length >= kind.length, place
        else:
            assert str(now_kind) == str(kind), place


def test_a_new_column_needs_nothing_from_who_does_not_know_it(old: Upgraded) -> None:
    tables = {table for table, _ in old.before}
    new = {
        place: column for place, column in old.after.items() if place not in old.before and place[0] in tables
    }
    assert new
    assert [place for place, (_, can_be_null, filled) in new.items() if not (can_be_null or filled)] == []


def test_every_table_of_the_first_release_has_a_row() -> None:
    connection = first_release.in_memory()
    counts = {
        name: connection.execute(f'SELECT count(*) FROM "{name}"') for name in first_release.old_columns()
    }
    assert [name for name, count in counts.items() if not count.fetchone()[0]] == []
