"""What is read of Cal.com's API v2 when a host moves from there, with the key of that host.

The versions are 2024-06-11 (schedules), 2024-06-14 (event types) and 2024-08-13 (bookings),
https://cal.com/docs/api-reference/v2. Calapp's own API gives the same shapes.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import requests
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from calapp.rest.schemas import cleaned
from calapp.text import line

PATIENCE = (10, 30)  # seconds to connect and to wait for a response
ATTEMPTS = 5
LONGEST_PAUSE = 120.0  # seconds that the server may ask us to wait
PAGE = 100  # rows of one request
MOST_PAGES = 200
SCHEDULES, EVENT_TYPES, BOOKINGS = "2024-06-11", "2024-06-14", "2024-08-13"


class CalcomUnavailable(Exception):
    """The server cannot be read; the message is a sentence."""


class CalcomApi:
    """Cal.com's API v2 with the key of a host."""

    def __init__(self, server: str, key: str, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self.address = server.rstrip("/").removesuffix("/v2") + "/v2"
        self.headers = {"Authorization": f"Bearer {key}"}
        self.sleep = sleep

    def read(self, path: str, version: str = "", **query: object) -> Mapping[str, Any]:
        """Return what a path responds, waiting when asked to; raise CalcomUnavailable."""
        headers = self.headers | ({"cal-api-version": version} if version else {})
        why, pause = "", 0.0
        for attempt in range(ATTEMPTS):
            self.sleep(pause)
            pause = 2.0**attempt
            try:
                # The key goes to this server alone, so redirects are not followed.
                response = requests.get(
                    self.address + path,
                    params={name: str(value) for name, value in query.items()},
                    headers=headers,
                    timeout=PATIENCE,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                why = f"{self.address} does not respond ({type(error).__name__})."
                continue
            if response.status_code == 429 or response.status_code >= 500:
                asked = response.headers.get("Retry-After", "")
                pause = min(float(asked) if asked.isdecimal() else pause, LONGEST_PAUSE)
                why = f"{self.address}{path} responded with {response.status_code} {ATTEMPTS} times."
                continue
            return self._content(response, path)
        raise CalcomUnavailable(why)

    def _content(self, response: requests.Response, path: str) -> Mapping[str, Any]:
        if response.status_code in {401, 403}:
            raise CalcomUnavailable(
                f"The server does not accept this key for {path}: {response.status_code}."
            )
        try:
            content = response.json()
        except ValueError:
            content = None
        if response.status_code != 200 or not isinstance(content, dict) or "data" not in content:
            raise CalcomUnavailable(
                f"There is no Cal.com API at {self.address}: {path} gives {response.status_code}."
            )
        return content

    def rows(self, path: str, version: str = "", **query: object) -> Iterator[Mapping[str, Any]]:
        """Give the objects of a list that is not in pages."""
        found = self.read(path, version, **query)["data"]
        yield from (one for one in (found if isinstance(found, list) else ()) if isinstance(one, dict))

    def pages(self, path: str, version: str = "", **query: object) -> Iterator[Mapping[str, Any]]:
        """Give the objects of a list that is in pages."""
        for page in range(MOST_PAGES):
            rows = list(self.rows(path, version, take=PAGE, skip=page * PAGE, **query))
            yield from rows
            if len(rows) < PAGE:
                return


# Clean and no longer than their columns, as what comes by forms.
Place = Annotated[str, Field(max_length=500), cleaned(line)]
Phone = Annotated[str, Field(max_length=40), cleaned(line)]


class Foreign(BaseModel):
    """What is read of the server's objects; the rest of them is ignored."""

    model_config = ConfigDict(alias_generator=to_camel)


class ForeignHost(Foreign):
    """One of the hosts of a booking."""

    id: int | None = None


class ForeignAttendee(Foreign):
    """Somebody who comes to a booking."""

    name: str
    email: str
    time_zone: str = ""
    phone_number: Phone | None = None


class ForeignBooking(Foreign):
    """A booking in the shape of 2024-08-13."""

    uid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,40}$")]
    title: str = ""
    status: str
    start: AwareDatetime
    end: AwareDatetime
    event_type_id: int | None = None
    hosts: list[ForeignHost] = []
    attendees: Annotated[list[ForeignAttendee], Field(min_length=1)]
    guests: list[str] = []
    location: Place | None = None
    metadata: dict[str, Any] = {}
    booking_fields_responses: dict[str, Any] = {}


@dataclass
class CalcomAccount:
    """What the server has of a host."""

    user_id: object
    name: str
    schedules: list[Mapping[str, Any]]
    event_types: list[Mapping[str, Any]]
    webhooks: list[tuple[Mapping[str, Any], object]]  # each with the id of its event type
    bookings: list[Mapping[str, Any]]


def read_all(api: CalcomApi) -> CalcomAccount:
    """Read everything that can be taken; raise CalcomUnavailable."""
    me = api.read("/me")["data"]
    kinds = list(api.rows("/event-types", EVENT_TYPES))
    hooks: list[tuple[Mapping[str, Any], object]] = [(one, None) for one in api.pages("/webhooks")]
    for kind in kinds:
        path = f"/event-types/{kind.get('id')}/webhooks"
        hooks += [(one, kind.get("id")) for one in api.pages(path)]
    return CalcomAccount(
        user_id=me.get("id") if isinstance(me, dict) else None,
        name=str(me.get("name") or me.get("username") or "") if isinstance(me, dict) else "",
        schedules=list(api.rows("/schedules", SCHEDULES)),
        event_types=kinds,
        webhooks=hooks,
        bookings=[
            one
            for status in ("upcoming", "unconfirmed")
            for one in api.pages("/bookings", BOOKINGS, status=status)
        ],
    )
