import sqlite3

TABLES = """
CREATE TABLE IF NOT EXISTS seen_event (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS meeting (
    first_uid TEXT PRIMARY KEY, sequence INTEGER, trigger TEXT, starts_at TEXT, user_id TEXT);
"""


def handle(database: sqlite3.Connection, event: dict) -> bool:
    """Do the work of an event once, whenever and however often it arrives; return whether it was new."""
    payload = event["payload"]
    with database:  # one transaction: the note that we have seen it and the work succeed or fail together
        noted = database.execute("INSERT OR IGNORE INTO seen_event VALUES (?)", (event["id"],))
        if not noted.rowcount:
            return False  # a duplicate
        changed = database.execute(
            """INSERT INTO meeting VALUES (?, ?, ?, ?, ?) ON CONFLICT (first_uid) DO UPDATE SET
               sequence = excluded.sequence, trigger = excluded.trigger, starts_at = excluded.starts_at
               WHERE excluded.sequence > meeting.sequence""",
            (
                payload["originalUid"],  # stays the same when the meeting is rescheduled
                payload["sequence"],
                event["triggerEvent"],
                payload["startTime"],
                payload["metadata"].get("user_id"),
            ),
        )
    return bool(changed.rowcount)  # False if a later event of this booking arrived first
