"""The webhook guide in the app: true for its reader, and whole."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from calapp import config
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.integrations.guide import attempts_of, duration, guide_html, guide_text
from calapp.integrations.samples import compact, sample_life
from calapp.webhooks.models import OPERATIONAL, Trigger
from tests.bookings.contract import check
from tests.integrations.conftest import HTMX

AT = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)
BASE = "https://cal.example.com"


def test_the_guide_shows_a_body_of_every_trigger(rick: User) -> None:
    told = sample_life(rick, BASE, AT)
    assert sorted(one.trigger for one in told) == sorted(Trigger)
    assert all(one.when and one.in_short for one in told)


def test_every_sample_body_keeps_the_contract(rick: User) -> None:
    told = [(one.trigger, check(json.loads(one.json))) for one in sample_life(rick, BASE, AT)]
    expected = [{} if trigger in OPERATIONAL else {"user_id": "123"} for trigger, _ in told]
    assert [checked.metadata for _, checked in told] == expected


def test_a_moved_booking_keeps_its_chain_and_counts_on(rick: User) -> None:
    told = {one.trigger: one.envelope["payload"] for one in sample_life(rick, BASE, AT)}
    created, moved = told[Trigger.BOOKING_CREATED], told[Trigger.BOOKING_RESCHEDULED]
    assert (moved["rescheduleUid"], moved["originalUid"]) == (created["uid"], created["uid"])
    assert (created["sequence"], moved["sequence"]) == (1, 2)
    assert moved["uid"] != created["uid"]


def test_the_page_speaks_of_its_readers_addresses(rick_client: FlaskClient, settings: Settings) -> None:
    page = rick_client.get("/integrations/guide").get_data(as_text=True)
    assert f"{settings.base_url}/rick/quick-chat?metadata[user_id]=123" in page
    assert "rick@example.com" in page
    assert "127.0.0.0/8, ::1/128" in page  # the networks that this server lets through


def test_strangers_are_led_to_the_sign_in(client: FlaskClient) -> None:
    assert client.get("/integrations/guide").headers["Location"] == "/login?next=%2Fintegrations%2Fguide"


def test_the_integrations_page_and_the_box_lead_to_the_guide(rick_client: FlaskClient) -> None:
    for address in ("/integrations", "/integrations/webhooks/new"):
        assert 'href="/integrations/guide"' in rick_client.get(address, headers=HTMX).get_data(as_text=True)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "```\n<b>", "**Rick** [x](javascript:y)"])
def test_a_hosts_name_stays_text(app: Flask, rick: User, settings: Settings, name: str) -> None:
    host = User(id=1, name=name, email=rick.email, username="rick", time_zone="UTC")
    with app.test_request_context():
        page = guide_html(guide_text(host, settings, AT, own=True))
    assert not any(markup in page for markup in ("<script", "<b>", 'javascript:y"', "<strong>Rick"))


def test_every_entry_of_the_contents_leads_somewhere(rick_client: FlaskClient) -> None:
    page = rick_client.get("/integrations/guide").get_data(as_text=True)
    anchors = {part.partition('"')[0] for part in page.split('href="#')[1:]} - {"content"}
    assert len(anchors) > len(Trigger)
    assert not [anchor for anchor in anchors if f'id="{anchor}"' not in page]


def test_the_guide_tells_this_servers_schedule(app: Flask, rick: User, settings: Settings) -> None:
    chosen = replace(settings, webhook_retry_schedule=(7, 60), webhook_timeout=2.5)
    with app.test_request_context():
        text = guide_text(rick, chosen, AT, own=True)
    assert "| 3 | 1 minute | 1 minute 7 seconds |" in text
    assert "Respond within 2.5 seconds" in text
    assert "30 minutes |" not in text


def test_a_server_without_retries_says_so(app: Flask, rick: User, settings: Settings) -> None:
    with app.test_request_context():
        text = guide_text(rick, replace(settings, webhook_retry_schedule=()), AT, own=True)
    assert "There are no retries on this server" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "immediately"), (1, "1 second"), (5430, "1 hour 30 minutes"), (172805, "2 days 5 seconds")],
)
def test_a_duration_is_written_in_its_greatest_units(seconds: int, words: str) -> None:
    assert duration(seconds) == words


def test_the_last_default_try_comes_after_three_days() -> None:
    assert attempts_of(config.DEFAULT_SCHEDULE)[-1].total.startswith("3 days")


def test_json_is_broken_only_where_it_does_not_fit() -> None:
    made = {"short": {"a": [1, "é"]}, "long": ["x" * 60, "y" * 60], "empty": {}}
    assert json.loads(compact(made)) == made
    assert '"short": {"a": [1, "é"]},\n' in compact(made)
