"""The delivery log: live while something is under way, filters, one delivery, resend, replay."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries.models import State
from calapp.deliveries.replays import MOST_WAITING
from calapp.webhooks.models import Webhook
from tests.browser.stage import Host, add_delivery, connected
from tests.browser.window import Window
from tests.receiver import Receiver, answer
from tests.running import Running, wait_until

Maker = Callable[..., int]


@pytest.fixture
def number(webhook: Maker, receiver: Receiver) -> int:
    """The id of a webhook that leads to the receiver."""
    return webhook(receiver.url())


def log_of(number: int) -> str:
    return f"/integrations/webhooks/{number}/deliveries"


def test_the_log_follows_a_delivery_and_then_is_still(
    window: Window, number: int, delivery: Maker, receiver: Receiver
) -> None:
    receiver.behave = answer("500 Internal Server Error")
    delivery(number)
    window.go(log_of(number))
    expect(window.page.locator(".pill", has_text="Failing")).to_be_visible()
    receiver.behave = answer()
    expect(window.page.locator(".pill", has_text="Delivered")).to_be_visible(timeout=15000)
    expect(window.page.locator("[id^=log-poll]")).to_have_count(0)
    asked = len(window.requests)
    window.page.wait_for_timeout(1200)
    assert len(window.requests) == asked


def test_an_empty_log_says_what_will_stand_there(window: Window, number: int) -> None:
    window.go(log_of(number))
    expect(window.page.get_by_text("No deliveries yet")).to_be_visible()


def test_the_log_is_filtered_by_state_event_booking_and_text(
    window: Window, number: int, delivery: Maker
) -> None:
    for state in (State.FAILED, State.DELIVERED, State.EXPIRED):
        delivery(number, state)
    window.go(log_of(number))
    rows = window.page.locator("#log li")
    expect(rows).to_have_count(3)
    window.field("State").select_option("failed")
    window.button("Filter").click()
    expect(rows).to_have_count(1)
    booking = rows.locator("code").text_content()
    window.link("Clear").click()
    window.page.locator("#filter-id").fill(booking)
    window.press("Enter")
    expect(rows).to_have_count(1)
    window.link("Clear").click()
    window.field("Text").fill("USER_ID")
    window.button("Filter").click()
    expect(rows).to_have_count(3)
    window.field("Text").fill("nobody")
    window.button("Filter").click()
    expect(window.page.get_by_text("No matches")).to_be_visible()


def test_the_log_over_all_webhooks_is_found_filtered_and_leads_to_an_event(
    plain: Window, number: int, webhook: Maker, delivery: Maker
) -> None:
    other = webhook("https://hooks.example.com/other", name="Other")
    for hook in (number, other):
        delivery(hook, State.FAILED)
    plain.go("/integrations")
    plain.link("All deliveries").click()
    rows = plain.page.locator("#log li")
    expect(rows).to_have_count(2)
    plain.field("Webhook").select_option("Other")
    plain.button("Filter").click()
    expect(rows).to_have_count(1)
    assert f"webhook={other}" in plain.page.url
    plain.link("All webhooks").click()
    plain.page.locator("#filter-since").fill("2099-01-01T10:00")
    plain.button("Filter").click()
    expect(plain.page.get_by_text("No matches")).to_be_visible()
    plain.link("Clear").click()
    rows.first.get_by_role("link").click()
    plain.page.locator("#delivery dd a").first.click()
    expect(plain.page.locator("#event .beside > section")).to_have_count(1)
    plain.expect_whole()


def test_a_delivery_opens_to_its_request_and_tries_and_is_sent_again(
    open_window: Callable[..., Window], host: Host, number: int, delivery: Maker, receiver: Receiver
) -> None:
    window = open_window(host.cookie, permissions=["clipboard-read", "clipboard-write"])
    receiver.behave = answer("404 Not Found", b"<b>who?</b>")
    delivery(number)
    wait_until(lambda: receiver.requests)
    window.go(log_of(number))
    window.page.locator("#log li a").click()
    first = window.page.locator(".attempt").last  # another may come above it at any time
    expect(first).to_contain_text("404")
    expect(first.locator(".times-bar")).to_be_visible()
    first.get_by_text("Response", exact=True).click()
    expect(first.get_by_label("Response body")).to_have_text("<b>who?</b>")
    expect(window.field("Request body")).to_contain_text('"user_id": "123"')
    window.button("Copy as curl").click()
    expect(window.toast).to_contain_text("Copied")
    assert window.page.evaluate("navigator.clipboard.readText()").startswith("curl -i -X POST")
    receiver.behave = answer()
    window.button("Send now").click()
    expect(window.page.locator("#state-title .pill")).to_have_text("Delivered")
    expect(window.page.get_by_text("manual").first).to_be_visible()
    assert receiver.requests[0].headers["webhook-id"] == receiver.requests[-1].headers["webhook-id"]


def test_a_delivery_shows_what_is_different_now_and_is_resent_with_the_current_template(
    window: Window, calapp: Running, number: int, delivery: Maker, receiver: Receiver
) -> None:
    delivery(number, State.DELIVERED)
    with connected(calapp.data_dir), transaction() as session:
        session.get_one(Webhook, number).payload_template = '{"only": {{triggerEvent}}}'
    window.go(log_of(number))
    window.page.locator("#log li a").click()
    expect(window.page.get_by_text("The payload template has changed since.")).to_be_visible()
    expect(window.page.get_by_text("The body with the current template:")).to_be_visible()
    window.button("with the current template").click()
    wait_until(lambda: receiver.requests)
    assert list(json.loads(receiver.requests[0].body)) == ["only"]


def test_a_window_is_replayed_with_count_and_progress(
    window: Window, number: int, delivery: Maker, receiver: Receiver
) -> None:
    for _ in range(3):
        delivery(number, State.FAILED)
    window.go(log_of(number))
    window.link("Replay").click()
    window.field("From").fill("2026-01-02T10:00")
    window.field("To").fill("2026-01-01T10:00")
    window.button("Count").click()
    expect(window.field("To")).to_have_attribute("aria-invalid", "true")
    window.field("To").fill("2099-01-01T10:00")
    window.button("Count").click()
    expect(window.page.get_by_text("3 events would be sent.")).to_be_visible()
    window.dialog.get_by_role("button", name="Replay").click()
    expect(window.toast).to_contain_text("Replay started")
    expect(window.page.locator(".pill", has_text="Delivered")).to_have_count(3)
    expect(window.page.get_by_text("3 of 3 events were queued")).to_be_visible()
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("javascript", [True, False])
def test_a_replay_is_stopped_and_says_how_far_it_came(
    open_window: Callable[..., Window], calapp: Running, host: Host, webhook: Maker, javascript: bool
) -> None:
    held = webhook("https://hooks.example.com/", backoff_until=now() + timedelta(hours=1))
    with connected(calapp.data_dir), transaction() as session:
        user, hook = host.user(session), session.get_one(Webhook, held)
        for _ in range(MOST_WAITING + 1):
            add_delivery(session, user, hook, State.FAILED, now() - timedelta(minutes=1))
    window = open_window(host.cookie, javascript=javascript)
    window.go(log_of(held))
    window.link("Replay").click()
    window.button("Replay").click()
    expect(window.button("Stop")).to_be_visible()
    wait_until(lambda: window.page.reload() and window.page.get_by_text("200 of 201 events").count())
    window.button("Stop").click()
    expect(window.page.get_by_text("The last replay was stopped")).to_contain_text("200 of 201 events")
    expect(window.button("Stop")).to_have_count(0)


def test_the_log_works_without_a_script(
    plain: Window, number: int, delivery: Maker, receiver: Receiver
) -> None:
    delivery(number, State.FAILED)
    plain.go(log_of(number))
    plain.link("Replay").click()
    plain.button("Count").click()
    expect(plain.page.get_by_text("would be sent")).to_be_visible()
    plain.go(log_of(number))
    plain.page.locator("#log li a").click()
    plain.button("Resend").click()
    wait_until(lambda: receiver.requests)
    plain.page.wait_for_timeout(200)
    plain.page.reload()
    expect(plain.page.locator("#state-title")).to_contain_text("Delivered")


def test_older_pages_and_back_are_whole_pages(window: Window, number: int, delivery: Maker) -> None:
    for _ in range(51):
        delivery(number, State.DELIVERED)
    window.go(log_of(number))
    expect(window.page.locator("#log li")).to_have_count(50)
    window.link("Older").click()
    expect(window.page.locator("#log li")).to_have_count(1)
    window.page.go_back()
    expect(window.page.locator("#log li")).to_have_count(50)
    window.expect_whole()
