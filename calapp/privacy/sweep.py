"""Sweeping what former values leave behind in the database's files."""

import sqlite3

from sqlalchemy import text

from calapp.db import db, is_sqlite


def sweep_pages() -> bool:
    """Have the database let go of the pages in which former values still stand; return whether it did.

    On SQLite others that use the file just now prevent it.
    """
    if not is_sqlite(db.session()):
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM"))
        return True
    db.session.rollback()
    raw = db.engine.raw_connection()  # SQLAlchemy begins transactions, in which there is no VACUUM
    try:
        raw.cursor().execute("VACUUM")
        return not raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:
        return False
    finally:
        raw.close()
