"""The Calapp that the clients meet: the demo host with a key, a webhook with a receiver, and free times."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from tests.receiver import Receiver, Request
from tests.running import ROOT, Running, environment, running, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADA = {"name": "Ada Byron", "email": "ada@example.com", "timeZone": "Europe/London"}
FAR = 30  # seconds that an answer may take


@dataclass
class Stage:
    """A running Calapp, what is needed to use it, and how many free times were given away."""

    calapp: Running
    key: str
    receiver: Receiver
    event_type_id: int = 0
    given: int = field(default=0)

    @property
    def address(self) -> str:
        return self.calapp.address

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Send a request with the host's key; return the status and what the body says."""
        answer = requests.request(
            method,
            self.address + path,
            json=body,
            headers={"Authorization": f"Bearer {self.key}", **headers},
            timeout=FAR,
        )
        return answer.status_code, answer.json()

    def data(self, method: str, path: str, body: object = None) -> Any:
        """Return what a request brings that succeeds."""
        status, found = self.call(method, path, body)
        assert status in {200, 201}, found
        return found["data"]

    def free_time(self) -> str:
        """Return a time that can be booked, another one at each call."""
        today = datetime.now(UTC).date() + timedelta(days=1)
        query = f"eventTypeId={self.event_type_id}&start={today}&end={today + timedelta(days=14)}"
        free = [one["start"] for day in self.data("GET", f"/v2/slots?{query}").values() for one in day]
        self.given += 1
        return free[self.given * 3]

    def book(self) -> dict[str, Any]:
        """Book a time with metadata."""
        wish = {"start": self.free_time(), "eventTypeId": self.event_type_id, "attendee": ADA}
        return self.data("POST", "/v2/bookings", wish | {"metadata": {"user_id": "123"}})

    def delivered(self, uid: str, trigger: str = "BOOKING_CREATED", path: str = "/hook") -> Request:
        """Wait for the webhook of a booking, and return it as it came in."""

        def found() -> list[Request]:
            came = [one for one in self.receiver.requests if one.path == path]
            told = [(one, json.loads(one.body)) for one in came]
            return [
                one for one, body in told if (body["triggerEvent"], body["payload"]["uid"]) == (trigger, uid)
            ]

        wait_until(found)
        return found()[0]

    def feed(self) -> str:
        """Return the address of the host's calendar feed, from the page that shows it."""
        page = self.calapp.signed_in().get(f"{self.address}/integrations", timeout=FAR).text
        found = re.search(r"http://[^\"\s<]+/calendar/[^\"\s<]+\.ics", page)
        assert found, "The integrations page has no calendar feed."
        return found[0]


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Start Calapp and a receiver; register a webhook for everything."""
    with running(folder / "data") as calapp, Receiver() as receiver:
        port = int(calapp.address.rpartition(":")[2])
        command = [sys.executable, "-m", "flask", "create-api-key", "rick"]
        own = environment(calapp.data_dir, port)
        made = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True)
        stage = Stage(calapp, made.stdout.strip(), receiver)
        kinds = {one["slug"]: one["id"] for one in stage.data("GET", "/v2/event-types")}
        stage.event_type_id = kinds["quick-chat"]
        triggers = ["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED"]
        stage.data(
            "POST",
            "/v2/webhooks",
            {"subscriberUrl": receiver.url(), "triggers": triggers, "secret": SECRET},
        )
        yield stage
