"""The webhooks of the integrations page, with mouse, with keyboard, and without JavaScript."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Dialog, expect

from calapp.deliveries.models import State
from tests.browser.stage import Host, Stage
from tests.browser.window import Window
from tests.conftest import PASSWORD
from tests.receiver import Receiver
from tests.running import wait_until

PAGE = "/integrations"
URL = "https://hooks.example.com/one"
WebhookMaker = Callable[..., int]


def test_a_webhook_is_made_changed_and_deleted_with_the_mouse(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    expect(window.field("Subscriber URL")).to_be_focused()
    window.field("Subscriber URL").fill(URL)
    window.field("Meeting Ended").check()
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text("Webhook created")
    expect(window.dialog).to_be_hidden()
    assert window.focused() == "new-webhook"

    window.link("Edit webhook").click()
    expect(window.field("Subscriber URL")).to_have_value(URL)
    expect(window.field("Meeting Ended")).to_be_checked()
    window.field("Subscriber URL").fill(f"{URL}/changed")
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.page.get_by_text(f"{URL}/changed", exact=True)).to_be_visible()
    assert window.focused().startswith("edit-")

    window.link("Delete webhook").click()
    expect(window.dialog.get_by_role("link", name="Keep it")).to_be_focused()
    expect(window.dialog).to_contain_text(f"{URL}/changed will receive no more events")
    window.dialog.get_by_role("button", name="Delete").click()
    expect(window.page.get_by_text("No webhooks yet")).to_be_visible()
    assert window.focused() == "new-webhook"


def test_a_webhook_is_made_changed_and_deleted_by_keyboard_alone(window: Window) -> None:
    window.go(PAGE)
    window.tab_to("New Webhook")
    window.press("Enter")
    expect(window.field("Subscriber URL")).to_be_focused()
    window.page.keyboard.type(URL)
    window.tab_to("Booking Requested")
    window.press("Space")
    window.tab_to("Save")
    window.press("Enter")
    expect(window.dialog).to_be_hidden()
    expect(window.page.get_by_text("Booking Requested")).to_be_visible()

    window.tab_to("Enabled")
    window.press("Space")
    expect(window.page.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    assert window.focused().startswith("switch-")

    window.tab_to("Edit webhook")
    window.press("Enter")
    expect(window.field("Subscriber URL")).to_be_focused()
    window.press("Escape")
    expect(window.dialog).to_be_hidden()
    assert window.focused().startswith("edit-")

    window.tab_to("Delete webhook")
    window.press("Enter")
    expect(window.dialog.get_by_role("link", name="Keep it")).to_be_focused()
    window.tab_to("Delete")
    window.press("Enter")
    expect(window.page.get_by_text("No webhooks yet")).to_be_visible()


def test_webhooks_are_plain_forms_without_a_script(plain: Window) -> None:
    plain.go(PAGE)
    plain.link("New Webhook").click()
    plain.field("Subscriber URL").fill("ftp://example.com")
    plain.button("Save").click()
    expect(plain.page.locator("#field-subscriber_url-error")).to_contain_text("https://")
    plain.field("Subscriber URL").fill(URL)
    plain.button("Generate").click()
    expect(plain.text("Secret")).to_have_value(re.compile("^whsec_"))
    plain.button("Save").click()
    expect(plain.page.get_by_text(URL, exact=True)).to_be_visible()
    plain.page.get_by_role("switch").click()
    expect(plain.page.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    plain.link("Show the last 24 hours").click()
    expect(plain.page.get_by_text("No deliveries in the last 24 hours")).to_be_visible()
    plain.link("Edit webhook").click()
    plain.field("Meeting Started").check()
    plain.button("Save").click()
    expect(plain.page.get_by_text("Meeting Started")).to_be_visible()
    plain.link("Delete webhook").click()
    plain.button("Delete").click()
    expect(plain.page.get_by_text("No webhooks yet")).to_be_visible()


def test_what_is_wrong_stands_at_its_field_and_nothing_is_lost(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill("http://10.0.0.1/inside")
    window.field("Meeting Ended").check()
    window.press("Enter")
    url = window.field("Subscriber URL")
    expect(url).to_have_attribute("aria-invalid", "true")
    expect(url).to_be_focused()
    expect(url).to_have_value("http://10.0.0.1/inside")
    expect(url).to_have_accessible_description(re.compile("not a public address"))
    expect(window.field("Meeting Ended")).to_be_checked()


def test_a_webhook_needs_a_trigger(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    for name in ("Booking Created", "Booking Rescheduled", "Booking Cancelled"):
        window.field(name).uncheck()
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.page.locator("#group-triggers-error")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 360])
def test_save_is_at_the_bottom_right_of_the_box(
    open_window: Callable[..., Window], host: Host, width: int
) -> None:
    window = open_window(host.cookie, width=width)
    window.go(PAGE)
    window.link("New Webhook").click()
    expect(window.dialog.get_by_role("button", name="Save")).to_be_visible()
    box, save = window.dialog.bounding_box(), window.dialog.get_by_role("button", name="Save").bounding_box()
    ping = window.dialog.get_by_role("button", name="Ping test").bounding_box()
    assert box["x"] + box["width"] - (save["x"] + save["width"]) <= 26
    assert box["y"] + box["height"] - (save["y"] + save["height"]) <= 26
    assert box["y"] + box["height"] <= 800
    assert ping["x"] - box["x"] <= 26
    assert ping["y"] == save["y"]


def test_a_ping_takes_the_values_that_are_not_saved(window: Window, receiver: Receiver) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(receiver.url())
    window.field("Custom").check()
    window.field("Payload template").fill('{"who": "{{metadata.user_id}}"}')
    window.dialog.get_by_role("button", name="Ping test").click()
    result = window.page.locator("#ping-result")
    expect(result).to_contain_text("Responded 200 in")
    expect(result).to_be_focused()
    assert json.loads(receiver.requests[0].body) == {"who": "123"}
    expect(window.field("Subscriber URL")).to_have_value(receiver.url())


def test_a_ping_from_the_row_says_what_came_of_it(window: Window, webhook: WebhookMaker) -> None:
    with Receiver() as receiver:
        url = receiver.url()
    webhook(url)
    window.go(PAGE)
    window.button("Ping test").click()
    expect(window.page.locator("#ping-result")).to_contain_text("refused")
    window.dialog.get_by_role("link", name="Done").click()
    expect(window.dialog).to_be_hidden()
    assert window.focused().startswith("ping-")


def test_a_ping_and_a_preview_show_the_last_booking_beside_the_sample(
    window: Window, webhook: WebhookMaker, delivery: Callable[..., int], receiver: Receiver
) -> None:
    number = webhook(receiver.url())
    delivery(number, State.DELIVERED)
    window.go(PAGE)
    window.button("Ping test").click()
    window.button("Send your last booking").click()
    expect(window.dialog).to_contain_text("The payload of your last booking")
    assert [json.loads(one.body)["triggerEvent"] for one in receiver.requests] == ["PING", "PING"]
    window.button("Send the sample").click()
    expect(window.dialog).to_contain_text("A sample booking")
    window.go(f"/integrations/webhooks/{number}/edit")
    window.field("Ping test sends").select_option("last_booking")
    window.field("Custom").check()
    window.field("Payload template").fill('{"of": "{{organizer.username}}"}')
    expect(window.field("Preview of the payload")).to_contain_text('"of": "host-')
    expect(window.field("Preview with your last booking")).to_contain_text('"of": "host-')
    window.button("Ping test").click()
    expect(window.page.locator("#ping-result")).to_contain_text("Responded 200 in")
    expect(window.field("Ping test sends")).to_have_value("last_booking")


def test_a_saved_secret_is_never_shown_again(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.button("Generate").click()
    expect(window.text("Secret")).to_have_value(re.compile("^whsec_"))
    secret = window.text("Secret").input_value()
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.dialog).to_be_hidden()
    window.link("Edit webhook").click()
    window.page.get_by_text("Change secret").click()
    expect(window.text("New secret")).to_have_value("")
    assert secret not in window.page.content()
    window.text("New secret").fill("a secret of my own")
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.dialog).to_be_hidden()
    window.link("Edit webhook").click()
    window.button("Use only the new secret").click()
    expect(window.page.get_by_text("Only the new secret is used from now on.")).to_be_visible()


def test_a_secret_is_copied_from_the_box(open_window: Callable[..., Window], host: Host) -> None:
    window = open_window(host.cookie, permissions=["clipboard-read", "clipboard-write"])
    window.go(PAGE)
    window.link("New Webhook").click()
    window.button("Generate").click()
    expect(window.text("Secret")).to_have_value(re.compile("^whsec_"))
    window.button("Copy secret").click()
    expect(window.toast).to_contain_text("Copied")
    assert window.page.evaluate("navigator.clipboard.readText()") == window.text("Secret").input_value()


def test_own_headers_come_and_go_and_their_values_stay_hidden(window: Window, receiver: Receiver) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(receiver.url())
    window.button("Add header").click()
    window.field("Name of header 1").fill("X-Key")
    window.field("Value of header 1").fill("hush-hush")
    window.button("Add header").click()
    expect(window.field("Name of header 2")).to_be_focused()
    window.button("Remove header 2").click()
    expect(window.field("Name of header 2")).to_have_count(0)
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.dialog).to_be_hidden()
    window.link("Edit webhook").click()
    expect(window.field("Name of header 1")).to_have_value("X-Key")
    assert "hush-hush" not in window.page.content()
    window.dialog.get_by_role("button", name="Ping test").click()
    expect(window.page.locator("#ping-result")).to_be_visible()
    assert receiver.requests[0].headers["x-key"] == "hush-hush"


def test_a_header_of_ours_is_refused_at_its_field(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.button("Add header").click()
    window.field("Name of header 1").fill("Host")
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.page.locator("#headers-error")).to_be_visible()


def test_a_click_puts_a_variable_at_the_cursor_and_the_preview_follows(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Custom").check()
    template = window.field("Payload template")
    template.fill('{"id": ""}')
    window.press("ArrowLeft", "ArrowLeft")
    window.page.get_by_text("Variables", exact=True).click()
    window.button("{{metadata.user_id}}").click()
    expect(template).to_have_value('{"id": "{{metadata.user_id}}"}')
    expect(template).to_be_focused()
    expect(window.field("Preview of the payload")).to_contain_text('"id": "123"')
    template.fill('{"id": "{{nobody}}"}')
    expect(window.page.get_by_text("Unknown variables")).to_be_visible()


def test_the_default_payload_can_be_looked_at(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.page.get_by_text("What is sent").click()
    expect(window.field("Default payload")).to_contain_text('"user_id": "123"')


@pytest.mark.parametrize(
    ("url", "name", "key"),
    [
        ("https://discord.com/api/webhooks/1/a", "Discord", "content"),
        ("https://hooks.slack.com/services/T/B/x", "Slack", "text"),
    ],
)
def test_chat_services_are_offered_a_payload_of_their_form(
    window: Window, url: str, name: str, key: str
) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(url)
    window.press("Tab")
    window.button(f"Use the payload for {name}").click()
    expect(window.field("Payload template")).to_have_value(re.compile(f'"{key}"'))
    expect(window.field("Custom")).to_be_checked()


def test_switching_on_asks_what_becomes_of_what_is_parked(
    window: Window, webhook: WebhookMaker, delivery: Callable[..., int], receiver: Receiver
) -> None:
    number = webhook(receiver.url(), active=False, off_reason="host")
    delivery(number, State.PARKED)
    window.go(PAGE)
    window.page.get_by_role("switch").click()
    expect(window.dialog).to_contain_text("1 event is parked")
    window.button("Send in order").click()
    expect(window.toast).to_contain_text("1 event queued")
    wait_until(lambda: receiver.requests)
    assert len(receiver.requests) == 1


def test_the_health_of_the_last_day_is_told_in_words(
    window: Window, webhook: WebhookMaker, delivery: Callable[..., int], receiver: Receiver
) -> None:
    number = webhook(receiver.url())
    delivery(number)
    wait_until(lambda: receiver.requests)
    window.page.wait_for_timeout(150)  # the try is recorded a moment after it was received
    window.go(PAGE)
    health = window.page.locator(f"#health-{number}")
    expect(health).to_contain_text("1 delivered, 0 failed · p50")
    expect(health.get_by_role("img")).to_be_visible()


def test_a_stopped_server_gives_a_toast_and_keeps_the_form(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.page.route("**/webhooks/new", lambda route: route.abort("connectionrefused"))
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text("Not saved: the server did not respond")
    expect(window.field("Subscriber URL")).to_have_value(URL)
    window.page.unroute("**/webhooks/new")
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text("Webhook created")


def test_a_server_that_fails_gives_a_toast_and_keeps_the_form(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.page.route("**/webhooks/new", lambda route: route.fulfill(status=502, body="Bad gateway"))
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text("Not saved")
    expect(window.field("Subscriber URL")).to_have_value(URL)


def test_v13_who_was_signed_out_signs_in_over_the_box_and_nothing_typed_is_lost(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.context.clear_cookies()
    window.dialog.get_by_role("button", name="Save").click()
    box = window.page.locator("#sign-in")
    expect(box.get_by_label("Password")).to_be_focused()
    box.get_by_label("Password").fill("wrong")
    window.press("Enter")
    expect(box.get_by_role("alert")).to_be_visible()
    window.press("Escape")
    expect(box).to_be_hidden()
    expect(window.toast).to_have_text("Not saved: you are signed out.")
    expect(window.field("Subscriber URL")).to_have_value(URL)
    window.dialog.get_by_role("button", name="Save").click()
    expect(box.get_by_label("Password")).to_be_focused()
    window.page.keyboard.type(PASSWORD)
    window.press("Enter")
    expect(window.toast).to_contain_text("Webhook created")
    expect(window.page.locator("#webhooks")).to_contain_text(URL)
    window.page.get_by_role("switch").click()  # the page goes on with the new session
    expect(window.toast).to_contain_text("Webhook switched off")


def test_v13_who_signed_in_again_in_another_tab_notices_nothing(window: Window, host: Host) -> None:
    window.go(PAGE)
    other = window.context.new_page()
    other.goto(f"{window.address}{PAGE}")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_label("Username").fill(host.username)
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    other.close()
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text("Webhook created")


def test_v13_what_another_host_who_signed_in_would_send_is_not_sent(
    window: Window, make_host: Callable[[], Host]
) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    other = make_host()
    window.context.clear_cookies()
    window.context.add_cookies([{"name": "calapp", "value": other.cookie, "url": window.address}])
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text(f"You are signed in as {other.username}")
    expect(window.field("Subscriber URL")).to_have_value(URL)
    window.context.clear_cookies()


def test_back_and_reload_show_whole_pages(window: Window, webhook: WebhookMaker) -> None:
    number = webhook(URL)
    window.go(PAGE)
    window.link("Edit webhook").click()
    expect(window.dialog).to_be_visible()
    window.press("Escape")
    window.link("Deliveries https://").click()
    window.page.go_back()
    window.expect_whole()
    assert window.path == PAGE
    window.page.reload()
    window.expect_whole()
    window.go(f"{PAGE}/webhooks/{number}/edit")
    window.expect_whole()


def test_many_webhooks_are_found_and_stay_found(open_window: Callable[..., Window], stage: Stage) -> None:
    window = open_window(stage.cookies["max"])
    window.go(PAGE)
    expect(window.page.get_by_role("switch")).to_have_count(25)
    window.field("URL or event type").fill("customers/100")
    window.button("Find").click()
    expect(window.page.get_by_role("switch")).to_have_count(1)
    window.page.get_by_role("switch").click()
    expect(window.toast).to_contain_text("Webhook switched")
    expect(window.page.get_by_role("switch")).to_have_count(1)


def test_the_inspector_is_offered_where_there_is_no_webhook(window: Window) -> None:
    window.go(PAGE)
    window.button("Add the inspector").click()
    expect(window.page.get_by_role("heading", name="Inspector")).to_be_visible()


def test_p4_esc_asks_once_when_something_was_typed(window: Window) -> None:
    asked: list[str] = []

    def keep(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss() if len(asked) == 1 else dialog.accept()

    window.page.on("dialog", keep)
    window.go(PAGE)
    window.link("New Webhook").click()
    expect(window.dialog).to_be_visible()
    window.press("Escape")
    expect(window.dialog).to_be_hidden()
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.press("Escape")
    expect(window.field("Subscriber URL")).to_have_value(URL)
    window.field("Subscriber URL").click()
    window.press("Escape")
    expect(window.dialog).to_be_hidden()
    assert asked == ["Discard what you have typed?"] * 2


def test_p4_a_link_asks_when_something_was_typed(window: Window) -> None:
    asked: list[str] = []
    window.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    window.go("/settings")
    window.text("Name").fill("Typed")
    window.link("Bookings").click()
    expect(window.text("Name")).to_have_value("Typed")
    assert asked == ["beforeunload"]
    window.button("Save").first.click()
    window.link("Bookings").click()
    expect(window.page.get_by_role("heading", name="Bookings")).to_be_visible()
    assert asked == ["beforeunload"]


def test_p4_a_draft_of_a_box_comes_back_without_its_secret(window: Window) -> None:
    window.go(PAGE)
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill(URL)
    window.text("Secret").fill("hush-hush")
    window.page.on("dialog", lambda dialog: dialog.accept())
    window.go("/bookings/upcoming")
    window.go(PAGE)
    window.link("New Webhook").click()
    expect(window.field("Subscriber URL")).to_have_value(URL)
    expect(window.text("Secret")).to_have_value("")
    expect(window.toast).to_contain_text("What you typed before is back.")
    window.toast.get_by_role("button", name="Discard").click()
    expect(window.field("Subscriber URL")).to_have_value("")
    window.field("Subscriber URL").fill(URL)
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.toast).to_contain_text("Webhook created")
    window.link("New Webhook").click()
    expect(window.field("Subscriber URL")).to_have_value("")


def test_p6_a_webhook_that_was_deleted_in_another_tab_is_named_and_the_list_is_fresh(
    open_window: Callable[..., Window], host: Host, webhook: Callable[..., int]
) -> None:
    number = webhook(URL)
    one, other = open_window(host.cookie), open_window(host.cookie)
    for window in (one, other):
        window.go(PAGE)
    other.page.locator(f"#delete-{number}").click()
    other.dialog.get_by_role("button", name="Delete").click()
    expect(other.toast).to_contain_text("Webhook deleted")
    one.page.locator(f"#edit-{number}").click()
    expect(one.toast).to_contain_text("This webhook was deleted.")
    expect(one.page.get_by_text("No webhooks yet")).to_be_visible()
