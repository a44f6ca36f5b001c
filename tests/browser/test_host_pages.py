"""The host's other pages: sign-in, bookings, event types, availability, settings, keys, the inspector."""

import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from calapp.bookings.models import Status
from calapp.clock import now
from calapp.db import transaction
from calapp.event_types.models import EventType
from tests.browser.stage import Host, booking_of, connected
from tests.browser.window import Window
from tests.conftest import PASSWORD
from tests.receiver import Receiver, silent
from tests.running import Running


@pytest.fixture
def booking(calapp: Running, host: Host) -> Callable[..., str]:
    """Return a function that adds a booking of the host's and returns its title."""

    def add(status: Status, days: int = 3) -> str:
        with connected(calapp.data_dir), transaction() as session:
            event_type = session.scalars(select(EventType).where(EventType.user_id == host.id)).one()
            made = booking_of(host.user(session), event_type, status, now() + timedelta(days=days), 1)
            session.add(made)
            return made.title

    return add


def test_signing_in_by_keyboard_leads_back_to_the_page_that_was_wanted(visitor: Window, host: Host) -> None:
    visitor.go("/integrations")
    expect(visitor.field("Username")).to_be_focused()
    visitor.page.keyboard.type(host.username)
    visitor.press("Tab")
    visitor.page.keyboard.type("wrong")
    visitor.press("Enter")
    expect(visitor.page.get_by_role("alert")).to_be_visible()
    expect(visitor.field("Username")).to_have_value(host.username)
    expect(visitor.field("Password")).to_be_focused()
    visitor.page.keyboard.type(PASSWORD)
    visitor.press("Enter")
    expect(visitor.page.get_by_role("heading", name="Integrations")).to_be_visible()
    visitor.button("Sign out").click()
    expect(visitor.page.get_by_role("heading", name="Sign in to Calapp")).to_be_visible()


def test_signing_in_works_without_a_script(open_window: Callable[..., Window], host: Host) -> None:
    plain = open_window(javascript=False)
    plain.go("/login")
    plain.field("Username").fill(host.username)
    plain.field("Password").fill(PASSWORD)
    plain.button("Sign in").click()
    expect(plain.page.get_by_role("heading", name="Bookings")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_signing_up_leads_to_pages_of_ones_own(open_window: Callable[..., Window], javascript: bool) -> None:
    window = open_window(javascript=javascript)
    name = f"new-{secrets.token_hex(4)}"
    window.go("/login")
    window.link("Sign up").click()
    window.field("Your name").fill("Grace Hopper")
    window.field("Username").fill("login")
    window.field("Email address").fill("grace@example.com")
    window.field("Password").fill(PASSWORD)
    window.button("Sign up").click()
    expect(window.field("Username")).to_have_attribute("aria-invalid", "true")
    expect(window.field("Your name")).to_have_value("Grace Hopper")
    window.field("Username").fill(name)
    window.field("Password").fill(PASSWORD)
    window.button("Sign up").click()
    expect(window.button("Sign out")).to_be_visible()
    window.go(f"/{name}")
    expect(window.page.get_by_role("heading", name="Grace Hopper")).to_be_visible()


def test_the_skip_link_is_the_first_stop(window: Window) -> None:
    window.go("/integrations")
    window.press("Tab", "Enter", "Tab")
    assert window.page.evaluate("document.getElementById('content').contains(document.activeElement)")


def test_bookings_are_confirmed_and_turned_down_where_they_are(
    window: Window, booking: Callable[..., str]
) -> None:
    for days in (3, 4, 5):
        booking(Status.PENDING, days)
    window.page.set_viewport_size({"width": 360, "height": 500})
    window.go("/bookings/unconfirmed?person=bob")
    confirm, reject = window.button("Confirm 30 minute"), window.link("Reject 30 minute")
    window.page.wait_for_load_state("networkidle")
    requests = len(window.requests)
    confirm.nth(1).focus()
    place = window.page.evaluate("scrollY")
    window.press("Enter")
    expect(window.toast).to_have_text("Booking confirmed.")
    expect(confirm).to_have_count(2)
    expect(confirm.nth(1)).to_be_focused()  # the next one has taken its place
    assert place > 0
    assert window.page.evaluate("scrollY") >= place / 2
    reject.nth(1).click()
    expect(window.text("Reason")).to_be_focused()
    window.text("Reason").fill("I am away.")
    window.dialog.get_by_role("button", name="Reject").click()
    expect(window.toast).to_have_text("Booking declined.")
    expect(window.dialog).to_be_hidden()
    expect(reject).to_be_focused()
    assert window.page.url.endswith("/bookings/unconfirmed?person=bob")
    assert not [one for one in window.requests[requests:] if one == "GET /bookings/unconfirmed"]
    window.go("/bookings/cancelled")
    window.page.locator(".row-title").click()
    expect(window.page.locator(".pill", has_text="Declined")).to_be_visible()
    expect(window.page.get_by_text("I am away.", exact=True)).to_be_visible()


def test_a_booking_that_was_cancelled_meanwhile_says_so_and_leaves_the_list(
    window: Window, booking: Callable[[Status], str]
) -> None:
    booking(Status.ACCEPTED)
    window.go("/bookings/upcoming")
    other = window.context.new_page()
    for page in (window.page, other):
        page.goto(f"{window.address}/bookings/upcoming")
        page.get_by_role("link", name="Cancel 30 minute").click()
    other.get_by_role("button", name="Cancel meeting").click()
    expect(other.get_by_text("No upcoming bookings")).to_be_visible()
    other.close()
    window.text("Reason").fill("Too late.")
    window.button("Cancel meeting").click()
    expect(window.page.locator(".toast.bad")).to_be_visible()
    expect(window.dialog).to_be_hidden()
    expect(window.page.get_by_text("No upcoming bookings")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_no_show_is_marked_and_taken_back(
    open_window: Callable[..., Window], host: Host, booking: Callable[..., str], javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    title = booking(Status.ACCEPTED, days=-3)
    window.go("/bookings/past")
    window.link(title).first.click()
    window.button("Mark as no-show bob@example.com").click()
    mark = window.page.locator(".pill", has_text="No-show: bob@example.com")
    expect(mark).to_be_visible()
    if javascript:
        expect(window.button("Undo no-show of bob@example.com")).to_be_focused()
    window.button("Undo no-show of bob@example.com").click()
    expect(window.button("Mark as no-show bob@example.com")).to_be_visible()
    expect(mark).to_have_count(0)


def test_a_booking_is_cancelled_by_its_host_without_a_script(
    plain: Window, booking: Callable[[Status], str]
) -> None:
    title = booking(Status.ACCEPTED)
    plain.go("/bookings/upcoming")
    plain.page.get_by_role("link", name=f"Cancel {title}").click()
    plain.button("Cancel meeting").click()
    plain.go("/bookings/cancelled")
    expect(plain.link(title).first).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_an_event_type_is_made_hidden_and_deleted(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    window.go("/event-types")
    window.link("New event type").click()
    expect(window.text("Title")).to_be_focused()
    window.text("Title").fill("Deep dive")
    window.text("Address").fill("quick-chat")
    window.text("Length", exact=True).fill("45")
    window.button("Add question").click()
    window.text("Question", exact=True).fill("Which one?")
    window.press("Enter")
    expect(window.text("Address")).to_have_attribute("aria-invalid", "true")
    expect(window.text("Question", exact=True)).to_have_value("Which one?")
    expect(window.text("Address")).to_be_focused()
    window.text("Address").fill("deep-dive")
    window.press("Enter")
    expect(window.link("Deep dive").first).to_be_visible()
    window.button("Hide Deep dive").click()
    expect(window.page.locator(".pill", has_text="Hidden")).to_be_visible()
    window.link("Delete Deep dive").click()
    window.button("Delete").click()
    expect(window.link("Edit Quick chat")).to_be_visible()
    expect(window.link("Edit Deep dive")).to_have_count(0)


@pytest.mark.parametrize("javascript", [True, False])
def test_weekly_hours_and_a_day_off_are_saved(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    window.go("/availability")
    window.button("Remove range 1 of Sunday").click()
    window.button("Add hours on Sunday").click()
    start = window.field("Sunday, range 1, from")
    window.field("Sunday, range 1, to").fill("09:00")
    start.fill("10:00")
    window.page.get_by_role("button", name="Save").last.click()
    expect(start).to_have_attribute("aria-invalid", "true")
    start.fill("08:00")
    window.page.get_by_role("button", name="Save").last.click()
    expect(start).not_to_have_attribute("aria-invalid", "true")
    expect(start).to_have_value("08:00")
    window.text("Date").fill("2030-12-24")
    window.field("Day off").check()
    window.button("Add date").click()
    expect(window.page.get_by_text("Tuesday, 24 December 2030")).to_be_visible()
    window.button("Remove Tuesday, 24 December 2030").click()
    expect(window.page.get_by_text("Tuesday, 24 December 2030")).to_have_count(0)


@pytest.mark.parametrize("javascript", [True, False])
def test_a_date_gets_hours_of_its_own(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    window.go("/availability")
    window.text("Date").fill("2030-12-24")
    for at, (start, end) in enumerate((("09:00", "12:00"), ("11:00", "15:00")), 1):
        window.text(f"Range {at}, from", exact=True).fill(start)
        window.text(f"Range {at}, to", exact=True).fill(end)
    window.button("Add date").click()
    expect(window.text("Range 2, from", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(window.text("Range 2, to", exact=True)).to_have_value("15:00")
    window.text("Range 2, from", exact=True).fill("13:30")
    window.button("Add date").click()
    row = window.page.get_by_role("listitem").filter(has_text="Tuesday, 24 December 2030")
    expect(row).to_contain_text("09:00 – 12:00, 13:30 – 15:00")


def test_the_profile_and_the_password_are_changed(window: Window) -> None:
    window.go("/settings")
    window.text("Name").fill("Rick the Host")
    window.field("Time zone").select_option("Asia/Tokyo")
    window.button("Save").first.click()
    expect(window.text("Name")).to_have_value("Rick the Host")
    window.field("Current password").fill("wrong")
    window.field("New password").fill("a new password")
    window.button("Change password").click()
    expect(window.field("Current password")).to_have_attribute("aria-invalid", "true")
    window.field("Current password").fill(PASSWORD)
    window.field("New password").fill("a new password")
    window.button("Change password").click()
    expect(window.toast).to_be_visible()


def test_an_api_key_is_shown_once_and_revoked(window: Window) -> None:
    window.go("/integrations")
    window.link("New API key").click()
    window.dialog.get_by_role("button", name="Create").click()
    expect(window.text("Name")).to_have_attribute("aria-invalid", "true")
    window.text("Name").fill("Reports")
    window.dialog.get_by_role("button", name="Create").click()
    expect(window.dialog.locator("input[value^=cal_]")).to_be_visible()
    window.press("Escape")
    expect(window.dialog).to_be_hidden()
    expect(window.page.locator("#api-keys").get_by_text("Reports")).to_be_visible()
    window.link("Revoke Reports").click()
    window.dialog.get_by_role("button", name="Revoke").click()
    expect(window.page.get_by_text("No API keys yet.")).to_be_visible()


def test_the_calendar_feed_gets_a_new_address(window: Window) -> None:
    window.go("/integrations")
    before = window.field("Calendar feed URL").input_value()
    window.link("Renew").click()
    window.dialog.get_by_role("button").last.click()
    expect(window.toast).to_contain_text("new address")
    assert window.field("Calendar feed URL").input_value() != before
    assert window.focused() == "renew-calendar"


def test_the_inspector_shows_what_arrives_and_fails_on_demand(window: Window) -> None:
    window.go("/integrations")
    window.button("Add the inspector").click()
    window.field("Make the next requests fail").fill("1")
    window.page.locator("#field-status").fill("429")
    window.field("Retry-After").fill("60")
    window.field("Body of those responses").fill("slow down")
    window.button("Save").click()
    expect(window.field("Make the next requests fail")).to_have_value("1")
    other = window.context.new_page()
    other.goto(f"{window.address}/integrations")
    other.get_by_role("button", name="Ping test").click()
    result = other.locator("#ping-result")
    result.wait_for()
    assert "Responded 429" in result.text_content()
    assert "slow down" in result.text_content()
    other.close()
    row = window.page.locator(".request")
    expect(row).to_contain_text("Signature valid")
    expect(row.locator(".pill", has_text="429")).to_be_visible()
    row.locator("summary").click()
    expect(row.get_by_label("Body")).to_contain_text('"user_id": "123"')
    window.page.locator("#filter-result").select_option("2xx")
    window.button("Filter").click()
    expect(window.page.get_by_text("No matches")).to_be_visible()
    window.link("Clear").click()
    expect(window.page.locator(".request")).to_have_count(1)
    window.button("Delete all").click()
    expect(window.page.get_by_text("No requests yet")).to_be_visible()


def test_k8_the_inspector_loads_a_request_when_it_is_opened(window: Window) -> None:
    window.go("/integrations")
    window.button("Add the inspector").click()
    window.go("/integrations/inspector")
    url = window.page.get_by_label("Inspector URL").input_value()
    path = url[url.index("/hooks/") :]
    for text in ("first body", "second body"):
        window.page.request.post(window.address + path, data=text)
    window.go("/integrations/inspector")
    row = window.page.locator(".request").last
    expect(row.get_by_label("Body")).to_have_count(0)
    row.locator("summary").click()
    expect(row.get_by_label("Body")).to_have_text("first body")


def test_an_unknown_address_has_a_page_of_its_own(visitor: Window) -> None:
    visitor.go(f"/{secrets.token_hex(3)}/nothing")
    expect(visitor.page.get_by_role("heading", name="Not found")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_link_with_metadata_is_copied_and_opens_with_it(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(
        host.cookie, javascript=javascript, permissions=["clipboard-read", "clipboard-write"]
    )
    window.go("/event-types")
    window.link("Copy link with metadata").click()
    window.text("Key 1").fill("a[b]")
    window.text("Value 1").fill("123")
    window.button("Create link").click()
    expect(window.page.locator("#metadata-error")).to_be_visible()
    expect(window.text("Value 1")).to_have_value("123")
    window.text("Key 1").fill("user_id")
    window.button("Add entry").click()
    window.text("Key 2").fill("plan")
    window.text("Value 2").fill("gold & more")
    window.button("Create link").click()
    link = window.text("Link", exact=True).input_value()
    assert "sig=" in link
    if javascript:
        window.dialog.get_by_role("button", name="Copy").click()
        expect(window.toast).to_contain_text("Copied")
        assert window.page.evaluate("navigator.clipboard.readText()") == link
    window.page.goto(link)
    expect(window.page.get_by_role("heading", name="Quick chat")).to_be_visible()


def test_questions_are_added_moved_and_removed_where_they_are(
    open_window: Callable[..., Window], host: Host
) -> None:
    window = open_window(host.cookie)
    window.go("/event-types/new")
    window.text("Title").fill("Deep dive")
    for number in (1, 2):
        window.button("Add question").click()
        expect(window.text("Question", exact=True).nth(number - 1)).to_be_focused()
        window.text("Question", exact=True).nth(number - 1).fill(f"Q{number}")
    expect(window.text("Choices")).to_have_count(0)  # not for a line of text
    window.page.get_by_label("Answer", exact=True).first.select_option("Choice, all shown")
    window.text("Choices").fill("red\nblue")
    place = window.page.evaluate("scrollY")
    window.button("Move question 2 up").click()
    expect(window.text("Question", exact=True).first).to_have_value("Q2")
    expect(window.text("Question", exact=True).first).to_be_focused()
    expect(window.text("Choices")).to_have_value("red\nblue")
    assert window.page.evaluate("scrollY") >= place / 2  # not at the top of the page
    window.button("Remove question 1").click()
    expect(window.text("Question", exact=True)).to_have_count(1)
    window.field("Minimum notice").first.fill("3")
    window.page.get_by_label("Unit of minimum notice").select_option("days")
    window.button("Save").last.click()
    window.link("Edit Deep dive").click()
    expect(window.field("Minimum notice").first).to_have_value("3")
    expect(window.page.get_by_label("Unit of minimum notice")).to_have_value("days")
    expect(window.text("Question", exact=True)).to_have_value("Q1")
    expect(window.text("Title")).to_have_value("Deep dive")


def test_a_list_is_sorted_without_a_jump_to_the_top(open_window: Callable[..., Window], host: Host) -> None:
    window = open_window(host.cookie)
    window.page.set_viewport_size({"width": 360, "height": 400})
    window.go("/event-types/new")
    window.text("Title").fill("Deep dive")
    window.press("Enter")
    window.page.wait_for_url("**/event-types")  # and for its script
    move = window.button("Move up Deep dive")
    move.focus()
    requests = len(window.requests)
    move.press("Enter")
    expect(window.page.locator("#event-types .row-title").first).to_have_text("Deep dive")
    expect(window.button("Move down Deep dive")).to_be_focused()  # it cannot go further up
    assert window.requests[requests:][0].endswith("/move")
    assert not any(one == "GET /event-types" for one in window.requests[requests:])  # no page was loaded anew
    window.button("Hide Deep dive").click()
    expect(window.button("Show Deep dive")).to_be_focused()


def test_hours_are_added_and_dates_removed_where_they_are(
    open_window: Callable[..., Window], host: Host
) -> None:
    window = open_window(host.cookie)
    window.go("/availability")
    window.text("Name").fill("Mornings")
    window.button("Add hours on Friday").click()
    expect(window.button("Remove range 2 of Friday")).to_be_visible()
    expect(window.text("Name")).to_have_value("Mornings")  # what was typed stands
    window.text("First day").fill("2099-05-01")
    window.button("Add time off").click()
    expect(window.button("Remove time off")).to_be_visible()
    window.page.wait_for_load_state("networkidle")
    requests = len(window.requests)
    window.button("Remove time off").click()
    expect(window.toast).to_have_text("Time off removed.")
    expect(window.button("Remove time off")).to_have_count(0)
    assert [one.split()[0] for one in window.requests[requests:]] == ["POST"]


def test_a_wait_counts_its_seconds_and_can_be_given_up(
    open_window: Callable[..., Window], host: Host
) -> None:
    window = open_window(host.cookie)
    with Receiver(silent) as receiver:
        window.go("/integrations")
        window.link("New Webhook").click()
        window.text("Subscriber URL").fill(receiver.url())
        window.button("Ping test").click()
        expect(window.toast).to_contain_text("Waiting for a response … 1 s")
        window.button("Cancel").last.click()
        expect(window.toast).to_have_text("Canceled. The server may still have done it.")
        expect(window.text("Subscriber URL")).to_have_value(receiver.url())
        expect(window.button("Ping test")).to_be_enabled()


def test_each_card_of_the_integrations_is_reached_from_the_top(
    open_window: Callable[..., Window], host: Host
) -> None:
    window = open_window(host.cookie)
    window.go("/integrations")
    links = window.page.get_by_role("navigation", name="On this page").get_by_role("link")
    for address in [link.get_attribute("href") for link in links.all()]:
        assert window.page.locator(f"section{address}").count() == 1
    links.last.click()
    expect(window.page.locator("#webhooks")).to_be_in_viewport()


def test_a_host_finds_a_time_zone_by_a_city_too(window: Window) -> None:
    window.go("/settings")
    window.button("Find a city").click()
    window.page.get_by_role("searchbox", name="Find a city").fill("seattle")
    window.press("Enter")
    expect(window.page.locator("#field-time_zone")).to_have_value("America/Los_Angeles")
    expect(window.page.locator("#field-time_zone")).to_be_focused()
    window.button("Save").first.click()
    expect(window.toast).to_have_text("Saved.")


def test_v13_without_a_script_what_was_typed_is_kept_over_the_sign_in(
    open_window: Callable[..., Window],
) -> None:
    window, name = open_window(javascript=False), f"new-{secrets.token_hex(4)}"
    window.go("/signup")
    window.text("Your name").fill("Ada")
    window.text("Username").fill(name)
    window.text("Email address").fill("ada@example.com")
    window.field("Password").fill("correct horse")
    window.button("Sign up").click()
    window.go("/event-types/new")
    window.text("Title").fill("Deep dive")
    window.text("Description").fill("One\nTwo")
    other = window.context.new_page()
    other.goto(f"{window.address}/settings")
    other.get_by_role("button", name="Sign out", exact=True).click()
    other.get_by_role("heading", name="Sign in to Calapp").wait_for()
    window.button("Save").last.click()
    expect(window.page.get_by_text("What you typed is kept for ten minutes")).to_be_visible()
    window.text("Username").fill(name)
    window.field("Password").fill("correct horse")
    window.button("Sign in").click()
    expect(window.page.get_by_role("heading", name="Not saved yet")).to_be_visible()
    expect(window.page.locator(".facts")).to_contain_text("Deep dive")
    for width in (1280, 360):
        window.page.set_viewport_size({"width": width, "height": 800})
        assert window.sideways() <= 0
    window.button("Send again").click()
    expect(window.link("Edit Deep dive")).to_be_visible()
    assert window.path == "/event-types"
