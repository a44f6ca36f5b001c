"""The plain design to compare with: an RQ job per delivery, a forking worker, requests.post, one row."""

import hashlib
import hmac
import sqlite3

import requests


def prepare(path: str, url: str, body: str, count: int) -> None:
    """Make a database of `count` waiting deliveries."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE delivery (id INTEGER PRIMARY KEY, url TEXT, body TEXT, status INTEGER)"
        )
        rows = ((url, body) for _ in range(count))
        connection.executemany("INSERT INTO delivery (url, body) VALUES (?, ?)", rows)


def deliver(path: str, delivery_id: int) -> None:
    """Read the row, sign, post, write the answer: the job of one delivery."""
    connection = sqlite3.connect(path, timeout=30)
    url, body = connection.execute("SELECT url, body FROM delivery WHERE id = ?", (delivery_id,)).fetchone()
    signature = hmac.new(b"secret", body.encode(), hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Cal-Signature-256": signature,
        "webhook-id": f"plain-{delivery_id}",
    }
    answer = requests.post(url, data=body.encode(), headers=headers, timeout=15)
    connection.execute("UPDATE delivery SET status = ? WHERE id = ?", (answer.status_code, delivery_id))
    connection.commit()
    connection.close()
