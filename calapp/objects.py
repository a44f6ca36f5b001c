"""Objects of the ORM, read and written as plain rows: what every visitor's page asks for, and bookings.

For a select of an object SQLAlchemy looks its statement up, prepares how each column is read, and then makes
the object; for a new one it sorts all that is to be written. For two or three rows that is several times what
driver and database do. These objects are the same as its own, in the session as if it had read or written
them itself.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sqlalchemy import Dialect, Table, inspect
from sqlalchemy.orm import Mapper, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from calapp.statements import execute, for_psycopg

Convert = Callable[[Any], Any]


class Read(NamedTuple):
    """How the columns of a model are read: each one's attribute, and what becomes of its value."""

    mapper: Mapper[Any]
    columns: list[tuple[str, Convert | None]]


class Written(NamedTuple):
    """A column, and what becomes of its value on the way to the database."""

    attribute: str
    convert: Convert | None
    default: Any  # a column's default, which may be None


def _quoted(dialect: Dialect, *names: str) -> str:
    return ".".join(dialect.identifier_preparer.quote(name) for name in names)


class Objects:
    """A statement for objects of some models: `{columns}` are theirs, and each row has one of each.

    `lock` is how PostgreSQL locks the rows; SQLite has one writer.
    """

    def __init__(self, statement: str, *models: type[Any], lock: str = "") -> None:
        self.statement = statement
        self.models = models
        self.lock = lock
        self.made: dict[str, tuple[str, list[Read]]] = {}  # by the kind of database

    def first(self, session: Session, **values: Any) -> list[Any] | None:
        """Return the objects of the first row as they are now, whatever the session knew; None without one.

        What the session has still to write is written first.
        """
        if session.autoflush:
            session.flush()
        dialect = session.get_bind().dialect
        if dialect.name not in self.made:
            self.made[dialect.name] = self._made(dialect)
        statement, kinds = self.made[dialect.name]
        row = execute(session, statement, values).first()
        if row is None:
            return None
        found, given = [], iter(row)
        for mapper, columns in kinds:
            read = {
                name: value if convert is None else convert(value)
                for (name, convert), value in zip(columns, given, strict=False)
            }
            found.append(_known(session, mapper, read))
        return found

    def _made(self, dialect: Dialect) -> tuple[str, list[Read]]:
        kinds: list[Read] = []
        names = []
        for model in self.models:
            kinds.append(Read(inspect(model), []))
            table = cast("Table", kinds[-1].mapper.local_table).name
            for attribute in kinds[-1].mapper.column_attrs:
                column = attribute.columns[0]
                names.append(_quoted(dialect, table, column.name))
                convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
                kinds[-1].columns.append((attribute.key, convert))
        statement = self.statement.format(columns=", ".join(names))
        return (statement if dialect.name == "sqlite" else for_psycopg(f"{statement} {self.lock}")), kinds


def _known(session: Session, mapper: Mapper[Any], values: dict[str, Any]) -> Any:
    """Return the session's object of a row, with the values that were read."""
    known = session.identity_map.get(mapper.identity_key_from_primary_key((values["id"],)))
    if known is not None:
        for name, value in values.items():
            set_committed_value(known, name, value)
        return known
    made = mapper.class_manager.new_instance()
    vars(made).update(values)
    make_transient_to_detached(made)
    session.add(made)
    return made


@lru_cache(maxsize=100)
def _insert(model: Hashable, dialect: Dialect) -> tuple[str, list[Written]]:
    mapper: Mapper[Any] = inspect(model)
    written, names, places = [], [], []
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if column.primary_key:
            continue
        convert = column.type.dialect_impl(dialect).bind_processor(dialect)
        written.append(Written(attribute.key, convert, column.default))
        names.append(_quoted(dialect, column.name))
        places.append(f":{attribute.key}")
    table = _quoted(dialect, cast("Table", mapper.local_table).name)
    given = f"({', '.join(names)}) VALUES ({', '.join(places)})"
    statement = f"INSERT INTO {table} {given} RETURNING id"
    return (statement if dialect.name == "sqlite" else for_psycopg(statement)), written


def insert(session: Session, made: Any) -> None:
    """Write a new object with its defaults, and give it its id; it may then be added to the session as it is.

    What it belongs to must be named by the columns of its keys: relationships are not followed.
    """
    dialect = session.get_bind().dialect
    statement, written = _insert(cast("Hashable", type(made)), dialect)
    own, values = vars(made), {}
    for name, convert, default in written:
        if name not in own:
            own[name] = default.arg(None) if default and default.is_callable else default and default.arg
        value = own[name]
        values[name] = value if convert is None else convert(value)
    ((own["id"],),) = execute(session, statement, values)
    make_transient_to_detached(made)
