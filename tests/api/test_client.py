"""The API as its clients see it: over HTTP, against a running server, with a receiver of their own."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new as hmac
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from tests.api import contract
from tests.receiver import Receiver
from tests.running import ROOT, TOKEN, Running, environment, running, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADA = {"name": "Ada Byron", "email": "ada@example.com", "timeZone": "Europe/London"}


@dataclass
class Caller:
    """A program that speaks to the API; every answer must fit the document that the server gives."""

    calapp: Running
    key: str = ""
    document: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.document = requests.get(f"{self.calapp.address}/v2/openapi.json", timeout=30).json()

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request as n8n does: with a version, and a body even where none is needed."""
        headers = {"cal-api-version": "2024-08-13"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        more.setdefault("json", {})
        answer = requests.request(method, self.calapp.address + path, headers=headers, timeout=30, **more)
        contract.check(self.document, method, path, answer.status_code, answer.json())
        return answer

    def data(self, method: str, path: str, **more: Any) -> Any:
        """Return what a request brings that succeeds."""
        answer = self.send(method, path, **more)
        assert answer.ok, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def calapp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("api") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def rick(calapp: Running) -> Caller:
    """The demo host's program, with a key from the command line."""
    port = int(calapp.address.rpartition(":")[2])
    made = subprocess.run(
        [sys.executable, "-m", "flask", "create-api-key", "rick"],
        cwd=ROOT,
        env=environment(calapp.data_dir, port),
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"cal_[A-Za-z0-9_-]{43}\n", made.stdout)
    return Caller(calapp, made.stdout.strip())


@pytest.fixture(scope="module")
def visitor(calapp: Running) -> Caller:
    """A program without a key."""
    return Caller(calapp)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=["of the host", "of an event type"])
def path(request: pytest.FixtureRequest, rick: Caller) -> str:
    """Where webhooks are registered."""
    if request.param == "of the host":
        return "/v2/webhooks"
    event_types = {one["slug"]: one["id"] for one in rick.data("GET", "/v2/event-types")}
    return f"/v2/event-types/{event_types['quick-chat']}/webhooks"


def free_starts(caller: Caller) -> list[str]:
    """Return the free times of the coming two weeks."""
    today = datetime.now(UTC).date()
    query = f"start={today}&end={today + timedelta(days=14)}"
    days = caller.data("GET", f"/v2/slots?username=rick&eventTypeSlug=quick-chat&{query}")
    return [slot["start"] for day in days.values() for slot in day]


def book(caller: Caller) -> dict[str, Any]:
    wish = {"start": free_starts(caller)[7], "username": "rick", "eventTypeSlug": "quick-chat"}
    return caller.data("POST", "/v2/bookings", json={**wish, "attendee": ADA, "metadata": {"user_id": "123"}})


def bodies(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """Wait for so many requests; check their signatures in both forms, and return their bodies."""
    wait_until(lambda: len(receiver.requests) >= count)
    for one in receiver.requests:
        Webhook(SECRET).verify(one.body, one.headers)
        expected = hmac(SECRET.encode(), one.body, sha256).hexdigest()
        assert one.headers["x-cal-signature-256"] == expected
    return [json.loads(one.body) for one in receiver.requests]


def test_a_program_registers_and_receives_and_leaves(
    rick: Caller, visitor: Caller, receiver: Receiver, path: str
) -> None:
    wanted = {
        "subscriberUrl": receiver.url(),
        "triggers": ["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED"],
        "active": True,
        "secret": SECRET,
    }
    webhook = rick.data("POST", path, json=wanted)
    found = rick.data("GET", f"{path}?take=250&skip=0")
    assert [one for one in found if one["subscriberUrl"] == receiver.url()] == [webhook]
    assert webhook["secret"] == SECRET

    booking = book(visitor)
    other = {"start": free_starts(visitor)[-1], "reschedulingReason": "Travel"}
    moved = visitor.data("POST", f"/v2/bookings/{booking['uid']}/reschedule", json=other)
    visitor.data("POST", f"/v2/bookings/{moved['uid']}/cancel", json={"cancellationReason": "Ill"})
    came = bodies(receiver, 3)
    assert [body["triggerEvent"] for body in came] == wanted["triggers"]
    assert {body["payload"]["metadata"]["user_id"] for body in came} == {"123"}
    assert (came[1]["payload"]["rescheduleUid"], came[1]["payload"]["uid"]) == (booking["uid"], moved["uid"])
    assert came[2]["payload"]["cancellationReason"] == "Ill"

    assert rick.data("DELETE", f"{path}/{webhook['id']}")["id"] == webhook["id"]
    assert rick.send("GET", f"{path}/{webhook['id']}").status_code == 404
    visitor.data("POST", f"/v2/bookings/{book(visitor)['uid']}/cancel")
    assert len(receiver.requests) == 3


def test_a_webhook_that_is_off_receives_nothing(rick: Caller, visitor: Caller, receiver: Receiver) -> None:
    wanted = {"subscriberUrl": receiver.url(), "triggers": ["BOOKING_CREATED", "BOOKING_CANCELLED"]}
    webhook = rick.data("POST", "/v2/webhooks", json={**wanted, "secret": SECRET})
    rick.data("PATCH", f"/v2/webhooks/{webhook['id']}", json={"triggers": ["BOOKING_CANCELLED"]})
    booking = book(visitor)
    visitor.data("POST", f"/v2/bookings/{booking['uid']}/cancel")
    assert [body["triggerEvent"] for body in bodies(receiver, 1)] == ["BOOKING_CANCELLED"]
    rick.data("DELETE", f"/v2/webhooks/{webhook['id']}")


def test_the_host_finds_the_booking_by_its_visitor(rick: Caller, visitor: Caller) -> None:
    booking = book(visitor)
    found = rick.data("GET", "/v2/bookings?attendeeEmail=ada@example.com&status=upcoming&take=10")
    assert booking["uid"] in {one["uid"] for one in found}
    assert {one["metadata"]["user_id"] for one in found} == {"123"}


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"subscriberUrl": 7}, 400, "subscriberUrl: Must be a string."),
    ({"triggers": ["BOOKING_MOVED"]}, 400, "Unknown trigger: BOOKING_MOVED."),
    ({"subscriberUrl": "http://192.168.1.1/hook"}, 400, "is not a public address"),
    ({"active": "yes"}, 400, "active: Must be true or false."),
]


@pytest.mark.parametrize(("wrong", "status", "words"), REFUSED)
def test_what_cannot_be_is_said_plainly(rick: Caller, wrong: dict[str, Any], status: int, words: str) -> None:
    fine = {"subscriberUrl": "http://127.0.0.1:9/hook", "triggers": ["BOOKING_CREATED"]}
    answer = rick.send("POST", "/v2/webhooks", json=fine | wrong)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_the_same_address_twice_is_a_conflict(rick: Caller, receiver: Receiver) -> None:
    wanted = {"subscriberUrl": receiver.url("/twice"), "triggers": ["BOOKING_CREATED"]}
    answers = [rick.send("POST", "/v2/webhooks", json=wanted) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    rick.data("DELETE", f"/v2/webhooks/{answers[0].json()['data']['id']}")


def test_sixty_metadata_keys_are_refused_in_cal_coms_words(visitor: Caller) -> None:
    wish = {
        "start": free_starts(visitor)[0],
        "username": "rick",
        "eventTypeSlug": "quick-chat",
        "attendee": ADA,
    }
    answer = visitor.send("POST", "/v2/bookings", json=wish | {"metadata": {f"k{n}": "x" for n in range(60)}})
    assert answer.status_code == 400
    assert "Metadata must have at most 50 keys" in answer.json()["error"]["message"]


@pytest.mark.parametrize("key", ["cal_wrong", "", "cal_" + "x" * 43])
def test_a_wrong_key_opens_nothing(calapp: Running, key: str) -> None:
    answer = Caller(calapp, key).send("GET", "/v2/webhooks")
    assert answer.status_code == 401


def test_a_key_made_and_revoked_on_the_page_opens_nothing_any_more(calapp: Running) -> None:
    host = calapp.signed_in()

    def post(path: str, **form: str) -> str:
        token = TOKEN.search(host.get(f"{calapp.address}{path}").text)[1]
        answer = host.post(f"{calapp.address}{path}", data={**form, "csrf_token": token})
        assert answer.ok
        return answer.text

    caller = Caller(
        calapp, re.search(r"cal_[\w-]{43}", post("/integrations/api-keys/new", name="x", scopes="read"))[0]
    )
    assert caller.data("GET", "/v2/me")["username"] == "rick"
    assert caller.send("POST", "/v2/webhooks").status_code == 403
    page = host.get(f"{calapp.address}/integrations").text
    post(re.search(r'href="(/integrations/api-keys/\d+/revoke)"', page)[1])
    assert caller.send("GET", "/v2/me").status_code == 401
