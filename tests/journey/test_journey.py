"""The main job, from the booking link to the signed POST at the host's receiver."""

import html
import json
import re
import time

import requests
from standardwebhooks import Webhook

from tests.receiver import Receiver
from tests.running import TOKEN, Running, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


def add_webhook(calapp: Running, url: str) -> None:
    """Add a webhook by the form of the integrations page."""
    host = calapp.signed_in()
    page = host.get(f"{calapp.address}/integrations/webhooks/new").text
    form = {
        "csrf_token": TOKEN.search(page)[1],
        "subscriber_url": url,
        "triggers": ["BOOKING_CREATED", "BOOKING_CANCELLED"],
        "active": "1",
        "secret": SECRET,
    }
    answer = host.post(f"{calapp.address}/integrations/webhooks/new", data=form)
    assert url in answer.text


def book(calapp: Running, query: str) -> str:
    """Book the first time that the booker offers; return the booking's address."""
    visitor = requests.Session()
    month = visitor.get(f"{calapp.address}/rick/quick-chat?tz=Europe/London&{query}").text
    later = re.search(r'href="([^"]+)"[^>]*aria-label="Next month"', month)[1]
    times = visitor.get(calapp.address + html.unescape(later)).text
    slot = re.search(r'href="([^"]+slot=[^"]+)"', times)[1]
    page = visitor.get(calapp.address + html.unescape(slot)).text
    action = re.search(r'method="post" action="([^"]+)"', page)[1]
    form = {name: html.unescape(value) for name, value in HIDDEN.findall(page)}
    time.sleep(2.1)  # people take longer than robots
    form |= {"name": "Ada Byron", "email": "ada@example.com"}
    answer = visitor.post(calapp.address + html.unescape(action), data=form)
    assert "This meeting is scheduled" in answer.text
    return answer.url


def wait_for(receiver: Receiver, count: int) -> None:
    wait_until(lambda: len(receiver.requests) >= count)
    assert len(receiver.requests) == count


def test_a_booking_with_metadata_arrives_signed(calapp: Running) -> None:
    with Receiver() as receiver:
        add_webhook(calapp, receiver.url())
        address = book(calapp, "metadata[user_id]=123")
        wait_for(receiver, 1)
        request = receiver.requests[0]
        Webhook(SECRET).verify(request.body, request.headers)
        body = json.loads(request.body)
        assert body["triggerEvent"] == "BOOKING_CREATED"
        assert body["payload"]["metadata"] == {"user_id": "123"}
        requests.post(f"{address}/cancel", data={"reason": "Ill"})
        wait_for(receiver, 2)
        payload = json.loads(receiver.requests[1].body)["payload"]
        assert (payload["cancellationReason"], payload["metadata"]) == ("Ill", {"user_id": "123"})
