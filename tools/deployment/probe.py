"""Runs inside the Debian, with its own Python and nothing installed: a receiver, and a visitor who books.

`probe.py receive FILE` answers webhooks and appends what they say to a file; `probe.py book DAYS SLUG` books
the first free time from so many days on, and prints the booking's uid.
"""

import http.server
import json
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ADDRESS, HOST = "http://127.0.0.1:5000", "cal.example.com"


def call(path: str, body: object = None) -> Any:
    """Ask the API, and return the data that it answers with."""
    headers = {"Host": HOST, "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    asked = urllib.request.Request(ADDRESS + path, data=data, headers=headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)["data"]


def book(days: int, slug: str) -> str:
    """Book the first free time; return the uid."""
    first = datetime.now(UTC).date() + timedelta(days=days)
    query = f"username=rick&eventTypeSlug={slug}&start={first}&end={first + timedelta(days=6)}"
    free = [slot["start"] for slots in call(f"/v2/slots?{query}").values() for slot in slots]
    attendee = {"name": "Ada Byron", "email": "ada@example.com", "timeZone": "Europe/London"}
    body = {"start": free[0], "username": "rick", "eventTypeSlug": slug, "attendee": attendee}
    return str(call("/v2/bookings", body)["uid"])


class Hook(http.server.BaseHTTPRequestHandler):
    """Notes the trigger and the booking of each webhook."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Path(sys.argv[2]).open("a") as file:
            file.write(f"{body['triggerEvent']} {body['payload'].get('uid', '')}\n")
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Hook).serve_forever()
    print(book(int(sys.argv[2]), sys.argv[3]))
