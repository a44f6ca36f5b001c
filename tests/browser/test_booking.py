"""A visitor's way to a booking, and what can become of it."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from calapp.bookings.models import Booking
from calapp.clock import now
from calapp.db import db, transaction
from calapp.mail import Email
from tests.browser.stage import Host, connected
from tests.browser.window import Window
from tests.receiver import Receiver
from tests.running import Running, wait_until

HUMAN = 2100  # milliseconds; a form that comes back faster is a robot's


@pytest.fixture
def bookings(calapp: Running, host: Host) -> Callable[[], list[dict[str, str]]]:
    """Return a function that gives the metadata of the host's bookings."""

    def found() -> list[dict[str, str]]:
        with connected(calapp.data_dir):
            query = select(Booking.link_metadata).where(Booking.host_id == host.id).order_by(Booking.id)
            return list(db.session.scalars(query))

    return found


def choose_time(window: Window, day: int = 1) -> None:
    """Go to the next month, one of its free days and that day's first time."""
    window.button("Next month").click()
    expect(window.button("Previous month")).to_be_visible()
    window.page.locator(".month td > button").nth(day).click()
    expect(window.page.locator(".month td > button").nth(day)).to_have_attribute("aria-current", "date")
    window.page.locator(".times button").first.click()
    expect(window.page.locator("form[method=post]")).to_be_visible()


def fill_in(window: Window, wait: int = HUMAN) -> None:
    window.text("Your name").fill("Bob Builder")
    window.text("Email address").fill("bob@example.com")
    window.page.wait_for_timeout(wait)


def book(window: Window, host: Host, query: str = "") -> None:
    window.go(f"/{host.username}/quick-chat?tz=Europe/Berlin{query}")
    choose_time(window)
    fill_in(window)
    window.button("Confirm").click()
    expect(window.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()


def test_metadata_survives_every_click(
    visitor: Window, host: Host, bookings: Callable[[], list[dict[str, str]]]
) -> None:
    visitor.go(f"/{host.username}/quick-chat?metadata[user_id]=123&metadata[plan]=a%26b")
    visitor.button("12h").click()
    expect(visitor.page.locator(".times button").first).to_contain_text(re.compile("am|pm"))
    visitor.field("Time zone").select_option("Asia/Tokyo")
    expect(visitor.field("Time zone")).to_have_value("Asia/Tokyo")
    choose_time(visitor)
    visitor.button("Back").click()
    visitor.page.locator(".times button").nth(1).click()
    expect(visitor.text("Your name")).to_be_visible()
    visitor.page.wait_for_timeout(HUMAN)
    visitor.button("Confirm").click()
    expect(visitor.text("Your name")).to_have_attribute("aria-invalid", "true")
    expect(visitor.text("Your name")).to_be_focused()
    fill_in(visitor, wait=0)
    visitor.button("Confirm").click()
    expect(visitor.page.get_by_text("(Asia/Tokyo)")).to_be_visible()
    assert bookings() == [{"user_id": "123", "plan": "a&b"}]


def test_the_zone_of_the_visitor_is_taken_once_and_back_leaves_the_page(
    open_window: Callable[..., Window], host: Host
) -> None:
    window = open_window(zone="America/New_York")
    window.go("/login")
    window.go(f"/{host.username}/quick-chat?metadata[a]=1")
    expect(window.field("Time zone")).to_have_value("America/New_York")
    assert "tz=America" in window.page.url
    assert "metadata" in window.page.url
    window.page.go_back()
    assert window.path == "/login"


def test_the_zone_of_the_address_wins(open_window: Callable[..., Window], host: Host) -> None:
    window = open_window(zone="America/New_York")
    window.go(f"/{host.username}/quick-chat?tz=Asia/Tokyo")
    expect(window.field("Time zone")).to_have_value("Asia/Tokyo")
    assert window.requests.count(f"GET /{host.username}/quick-chat") == 1


def test_a_time_that_was_taken_meanwhile_keeps_what_was_typed(
    open_window: Callable[..., Window], host: Host, bookings: Callable[[], list[dict[str, str]]]
) -> None:
    slow, quick = open_window(), open_window()
    address = f"/{host.username}/quick-chat?tz=Europe/Berlin&metadata[who]="
    slow.go(f"{address}slow")
    choose_time(slow)
    quick.page.goto(slow.page.url.replace("slow", "quick"))
    quick.text("Your name").fill("Quick")
    quick.text("Email address").fill("quick@example.com")
    fill_in(slow)
    quick.button("Confirm").click()
    expect(quick.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    slow.button("Confirm").click()
    expect(slow.page.get_by_role("alert")).to_contain_text("no longer available")
    slow.page.locator(".times button").first.click()
    expect(slow.text("Your name")).to_have_value("Bob Builder")
    slow.page.wait_for_timeout(HUMAN)
    slow.button("Confirm").click()
    expect(slow.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    assert bookings() == [{"who": "quick"}, {"who": "slow"}]


def test_a_booking_is_made_by_keyboard_alone(visitor: Window, host: Host) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    visitor.tab_to("Next month")
    visitor.press("Enter")
    expect(visitor.button("Previous month")).to_be_visible()
    expect(visitor.button("Next month")).to_be_focused()
    visitor.page.locator(".month td > button").nth(2).focus()
    visitor.press("Enter")
    expect(visitor.page.locator(".month button[aria-current=date]")).to_be_focused()
    visitor.page.locator(".times button").first.focus()
    visitor.press("Enter")
    expect(visitor.text("Your name")).to_be_focused()
    visitor.page.keyboard.type("Bob")
    visitor.press("Tab")
    visitor.page.keyboard.type("bob@example.com")
    visitor.page.wait_for_timeout(HUMAN)
    visitor.press("Enter")
    expect(visitor.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()


def test_a_meeting_is_booked_moved_and_cancelled_without_a_script(
    open_window: Callable[..., Window], host: Host
) -> None:
    plain = open_window(javascript=False)
    book(plain, host, "&metadata[user_id]=123")
    plain.link("Reschedule").click()
    plain.button("Next month").click()
    plain.page.locator(".month td > button").last.click()
    plain.page.locator(".times button").first.click()
    plain.text("Reason for rescheduling").fill("A train.")
    plain.page.wait_for_timeout(HUMAN)
    plain.button("Reschedule").click()
    expect(plain.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    plain.page.get_by_role("link", name="Cancel", exact=True).click()
    plain.text("Reason").fill("I am ill.")
    plain.button("Cancel meeting").click()
    expect(plain.page.get_by_role("heading", name="This meeting is cancelled")).to_be_visible()


def test_a_meeting_is_moved_and_cancelled_with_the_mouse(visitor: Window, host: Host) -> None:
    book(visitor, host)
    visitor.link("Reschedule").click()
    choose_time(visitor, day=9)
    visitor.text("Reason for rescheduling").fill("A train.")
    visitor.page.wait_for_timeout(HUMAN)
    visitor.button("Reschedule").click()
    expect(visitor.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    visitor.page.get_by_role("link", name="Cancel", exact=True).click()
    visitor.link("Keep it").click()
    visitor.page.get_by_role("link", name="Cancel", exact=True).click()
    visitor.button("Cancel meeting").click()
    expect(visitor.page.get_by_role("heading", name="This meeting is cancelled")).to_be_visible()


def test_back_and_reload_of_the_booker_show_whole_pages(visitor: Window, host: Host) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    choose_time(visitor)
    visitor.page.reload()
    expect(visitor.text("Your name")).to_be_visible()
    visitor.expect_whole()
    for _ in range(2):
        with visitor.page.expect_event("load"):  # htmx loads the page anew, after the browser went back
            visitor.page.evaluate("history.back()")
        expect(visitor.page.locator(".month")).to_be_visible()
        visitor.expect_whole()
    with visitor.page.expect_event("load"):
        visitor.page.evaluate("history.forward()")
    expect(visitor.page.locator(".times button").first).to_be_visible()
    visitor.expect_whole()


def test_the_last_of_two_quick_clicks_wins(visitor: Window, host: Host) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    visitor.button("Next month").click()
    expect(visitor.button("Previous month")).to_be_visible()
    visitor.page.evaluate(
        "for (const day of [3, 5]) document.querySelectorAll('.month td > button')[day].click()"
    )
    expect(visitor.page.locator(".month td > button").nth(5)).to_have_attribute("aria-current", "date")
    visitor.page.wait_for_timeout(300)
    expect(visitor.page.locator(".month td > button").nth(5)).to_have_attribute("aria-current", "date")


def test_a_second_click_books_once(
    visitor: Window, host: Host, bookings: Callable[[], list[dict[str, str]]]
) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    choose_time(visitor)
    fill_in(visitor)
    visitor.button("Confirm").dblclick()
    expect(visitor.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    assert len(bookings()) == 1


def test_p3_a_month_that_cannot_be_loaded_is_asked_for_again(visitor: Window, host: Host) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    visitor.page.route("**/quick-chat?**", lambda route: route.abort("connectionrefused"))
    visitor.button("Next month").click()
    expect(visitor.toast).to_contain_text("The page could not be loaded. Try again")
    visitor.page.unroute("**/quick-chat?**")
    visitor.button("Try again").click()
    expect(visitor.button("Previous month")).to_be_visible()
    expect(visitor.toast).to_have_count(0)


def test_v14_back_after_a_booking_asks_nothing(visitor: Window, host: Host) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    choose_time(visitor)
    visitor.page.wait_for_timeout(HUMAN)
    visitor.button("Confirm").click()
    expect(visitor.text("Your name")).to_have_attribute("aria-invalid", "true")
    fill_in(visitor, wait=0)
    visitor.button("Confirm").click()
    expect(visitor.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    visitor.page.go_back()
    assert visitor.path == f"/{host.username}/quick-chat"
    expect(visitor.page.get_by_role("alert")).to_be_visible()


def test_a_first_visit_is_small_and_a_second_asks_for_the_page_alone(
    open_window: Callable[..., Window], host: Host
) -> None:
    window = open_window()
    network = window.context.new_cdp_session(window.page)
    network.send("Network.enable")
    loaded: list[float] = []  # bytes on the wire, with headers; 0 for what the browser had kept
    network.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    zones = window.page.locator("#tz option")

    window.go(f"/{host.username}/quick-chat")  # then again, with the zone of the visitor
    expect(zones).not_to_have_count(1)
    first = sum(loaded)
    window.button("Next month").click()
    expect(window.page).to_have_url(re.compile("month="))  # the answer is there
    expect(zones).not_to_have_count(1)
    loaded.clear()
    window.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    expect(zones).not_to_have_count(1)
    assert 20_000 < first <= 70_000
    assert 0 < sum(loaded) <= 8_000
    assert len([size for size in loaded if size]) == 1


def test_a_time_zone_is_found_by_its_city_and_by_its_old_name(visitor: Window, host: Host) -> None:
    visitor.go(f"/{host.username}/quick-chat?tz=Asia/Calcutta")
    expect(visitor.page.locator("#tz")).to_have_value("Asia/Kolkata")
    search = visitor.page.get_by_role("searchbox", name="Find a city")
    expect(search).to_be_hidden()
    visitor.button("Find a city").click()
    expect(search).to_be_focused()
    search.fill("new yo")
    expect(visitor.button("America/New York (UTC")).to_be_visible()
    search.press("Enter")
    expect(visitor.page.locator("#tz")).to_have_value("America/New_York")
    expect(visitor.page.locator("#tz")).to_be_focused()
    visitor.button("Find a city").click()
    search.fill("calcutta")
    visitor.button("Asia/Kolkata (UTC+05:30), before: Asia/Calcutta").click()
    expect(visitor.page.locator("#tz")).to_have_value("Asia/Kolkata")
    visitor.button("Find a city").click()
    search.fill("nowhere at all")
    expect(visitor.page.get_by_text("No time zone has this name.")).to_be_visible()
    search.fill("MÜNCH")
    visitor.button("München: Europe/Berlin (UTC").click()
    expect(visitor.page.locator("#tz")).to_have_value("Europe/Berlin")


@pytest.fixture
def email_to_visitor(calapp: Running, host: Host) -> Callable[[str], str]:
    """Return a function that waits for the visitor's email whose subject begins so, and gives its text."""

    def found(subject: str) -> str:
        of_visitor = (Email.user_id == host.id, Email.recipient == "bob@example.com")
        query = select(Email.body).where(*of_visitor, Email.subject.startswith(subject))
        with connected(calapp.data_dir):

            def read() -> str | None:
                db.session.rollback()
                return db.session.scalar(query)

            wait_until(read)
            return read() or ""

    return found


def weekdays(window: Window) -> list[str]:
    return window.page.locator(".month th").all_inner_texts()


def test_a_visitor_from_new_york_has_sundays_first_and_twelve_hours_up_to_the_email(
    open_window: Callable[..., Window], host: Host, email_to_visitor: Callable[[str], str]
) -> None:
    window = open_window(zone="America/New_York", locale="en-US")
    window.go(f"/{host.username}/quick-chat")
    expect(window.field("Time zone")).to_have_value("America/New_York")
    assert weekdays(window)[0] == "SUN"
    choose_time(window)
    fill_in(window)
    window.button("Confirm").click()
    expect(window.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    time = re.compile(r"\d{1,2}:\d\d[ap]m – .*\(America/New_York\)")
    expect(window.page.locator(".facts")).to_contain_text(time)
    assert time.search(email_to_visitor("Booked:"))


def test_a_visitor_from_berlin_books_on_a_phone(
    open_window: Callable[..., Window], host: Host, email_to_visitor: Callable[[str], str]
) -> None:
    window = open_window(locale="de-DE", width=360, has_touch=True)
    window.go(f"/{host.username}/quick-chat")
    expect(window.field("Time zone")).to_have_value("Europe/Berlin")
    assert weekdays(window)[0] == "MON"
    window.button("Next month").tap()
    expect(window.button("Previous month")).to_be_visible()
    day = window.page.locator(".month td > button").nth(1)
    assert day.bounding_box()["height"] >= 44
    day.tap()
    expect(window.page.locator(".times button").first).to_be_in_viewport()
    assert window.sideways() <= 0
    window.page.locator(".times button").first.tap()
    size = window.text("Your name").evaluate("one => getComputedStyle(one).fontSize")
    assert size == "16px"  # with less, phones zoom into the field
    fill_in(window)
    window.button("Confirm").tap()
    expect(window.page.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    time = re.compile(r"\d\d:\d\d – .*\(Europe/Berlin\)")
    expect(window.page.locator(".facts")).to_contain_text(time)
    assert time.search(email_to_visitor("Booked:"))
    assert window.sideways() <= 0


@pytest.mark.parametrize("javascript", [True, False])
def test_a_vacation_is_shown_as_taken_and_cannot_be_booked(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    month = (now().date().replace(day=1) + timedelta(days=32)).replace(day=1)
    window.go("/availability")
    window.text("First day").fill(f"{month:%Y-%m}-10")
    window.text("Last day").fill(f"{month:%Y-%m}-12")
    window.text("Note").fill("In the mountains")
    window.button("Add time off").click()
    expect(window.button("Remove time off")).to_be_visible()
    visitor = open_window(javascript=javascript)
    visitor.go(f"/{host.username}/quick-chat?tz=Europe/Berlin&month={month:%Y-%m}")
    away = visitor.page.locator(".month .away")
    expect(away).to_have_text(["10, away", "11, away", "12, away"])
    expect(visitor.page.locator(".month button", has_text=re.compile("^(9|13)$"))).to_have_count(2)
    expect(visitor.page.get_by_text("In the mountains")).to_have_count(0)
    window.button("Remove time off").click()
    expect(window.button("Remove time off")).to_have_count(0)
    visitor.page.reload()
    expect(away).to_have_count(0)


def test_a_reminder_arrives_at_the_webhook_and_among_the_emails(
    open_window: Callable[..., Window],
    calapp: Running,
    host: Host,
    webhook: Callable[..., int],
    receiver: Receiver,
    email_to_visitor: Callable[[str], str],
) -> None:
    webhook(receiver.url("/"), triggers=["BOOKING_REMINDER"])
    window = open_window(host.cookie)
    window.go("/event-types")
    window.link("Edit Quick chat").click()
    window.text("Reminders").fill("1 h")
    window.button("Save").last.click()
    book(open_window(), host)
    with connected(calapp.data_dir), transaction() as session:
        booking = session.scalars(select(Booking).where(Booking.host_id == host.id)).one()
        assert booking.reminder_at == booking.starts_at - timedelta(hours=1)
        earlier = booking.reminder_at - now()  # as if the days until then had passed
        booking.starts_at, booking.ends_at = booking.starts_at - earlier, booking.ends_at - earlier
        booking.reminder_at -= earlier
        uid = booking.uid
    wait_until(lambda: receiver.requests)
    payload = json.loads(receiver.requests[0].body)
    assert (payload["triggerEvent"], payload["payload"]["uid"]) == ("BOOKING_REMINDER", uid)
    assert "(Europe/Berlin)" in email_to_visitor("Reminder:")
    window.go(f"/bookings/{uid}")
    expect(window.page.get_by_text("Reminder: Quick chat with")).to_be_visible()
    expect(window.page.get_by_text("BOOKING_REMINDER")).to_be_visible()
