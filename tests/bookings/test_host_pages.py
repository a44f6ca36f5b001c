"""The host's pages of bookings: tabs, search, pages, history, and what can be done."""

import csv
import html
import io
import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from calapp.bookings import lists, service
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.models import Booking
from calapp.db import transaction
from calapp.deliveries.models import Delivery, State
from calapp.webhooks.models import Webhook
from tests.bookings.conftest import TUESDAY_TEN
from tests.conftest import on_both_databases

NOON = TUESDAY_TEN + timedelta(hours=2)
HTMX = {"HX-Request": "true"}
TABS = ("upcoming", "unconfirmed", "past", "cancelled")


def titles(client: FlaskClient, tab: str, query: str = "") -> list[str]:
    page = client.get(f"/bookings/{tab}{query}").text
    return re.findall(r'class="row-title" href="[^"]+">([^<]+)<', page)


def counts(client: FlaskClient, query: str = "") -> list[int]:
    page = client.get(f"/bookings/upcoming{query}").text
    return [int(count) for count in re.findall(r'<span class="count">(\d+)</span>', page)]


@pytest.fixture
def four(book, quick_chat, change, monday) -> None:
    """A booking for each tab."""
    book(TUESDAY_TEN - timedelta(days=1), name="Paula Past", email="past@example.com")
    book(name="Una Upcoming", metadata={"user_id": "u-77", "city": "ZÜRICH"})
    gone = book(NOON, name="Carl Cancelled")
    with transaction() as session:
        service.cancel(session, gone, by="ada@example.com", reason="")
    change(quick_chat, requires_confirmation=True)
    book(NOON + timedelta(hours=1), name="Wanda Waiting")
    monday.move_to(TUESDAY_TEN - timedelta(hours=3))


def test_each_tab_shows_its_own_with_counts_of_all(rick_client: FlaskClient, four) -> None:
    shown = [titles(rick_client, tab) for tab in TABS]
    names = ["Una Upcoming", "Wanda Waiting", "Paula Past", "Carl Cancelled"]
    assert shown == [[f"Quick chat between Rick and {name}"] for name in names]
    assert counts(rick_client) == [1, 1, 1, 1]


def test_a_moved_booking_is_listed_once(rick_client: FlaskClient, client, book) -> None:
    client.post(f"/booking/{book().uid}/reschedule", data={"start": "2027-01-05T12:00:00Z"})
    assert counts(rick_client) == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("una", 1),
        ("UNA UPC", 1),
        ("u-77", 1),
        ("zürich", 1),
        ("zurich", 1),
        ("example.com", 1),
        ("carl", 0),
        ("%", 0),
        ("x" * 500, 0),
        ("' OR 1=1 --", 0),
    ],
)
def test_a_search_looks_in_names_addresses_and_metadata(rick_client, four, words: str, found: int) -> None:
    answer = rick_client.get("/bookings/upcoming", query_string={"q": words})
    rows = len(re.findall('class="row-title"', answer.text))
    assert answer.status_code == 200
    assert rows == found


def test_a_search_counts_in_every_tab_and_goes_along(rick_client: FlaskClient, four) -> None:
    assert counts(rick_client, "?q=past@example.com") == [0, 0, 1, 0]
    assert (
        'href="/bookings/past?q=past%40example.com"'
        in rick_client.get("/bookings/upcoming?q=past@example.com").text
    )


@pytest.mark.parametrize("tab", TABS)
def test_an_empty_tab_says_what_will_stand_there(rick_client: FlaskClient, tab: str) -> None:
    page = rick_client.get(f"/bookings/{tab}").text
    assert 'class="empty-title"' in page
    assert "here." in page
    assert "Nothing found" in rick_client.get(f"/bookings/{tab}?q=nobody").text


def test_fifty_bookings_are_a_page(rick_client: FlaskClient, book, quick_chat, change) -> None:
    change(quick_chat, length=5, step=5)
    for number in range(53):
        book(TUESDAY_TEN + timedelta(minutes=5 * number), name=f"Visitor {number:02}")
    first, second = titles(rick_client, "upcoming"), titles(rick_client, "upcoming", "?page=2")
    assert (len(first), len(second)) == (50, 3)
    assert first[0].endswith("Visitor 00")
    assert second[-1].endswith("Visitor 52")
    assert 'href="/bookings/upcoming?page=2"' in rick_client.get("/bookings/upcoming").text


def test_p10_a_page_behind_the_last_is_the_last(rick_client: FlaskClient, four) -> None:
    assert titles(rick_client, "upcoming", "?page=99") == ["Quick chat between Rick and Una Upcoming"]


@on_both_databases
@pytest.mark.parametrize("words", ["nguyen", "NGUYEN VAN", "nguyễn", "duc", "soren", "Søren"])
def test_p10_a_search_needs_no_accents(rick_client: FlaskClient, book, words: str) -> None:
    book(name="Nguyễn Văn Đức Søren", email="n@example.com")
    found = [titles(rick_client, "upcoming", f"?{name}={words}") for name in ("q", "person")]
    assert [len(one) for one in found] == [1, 1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("person=una", ["Una"]),
        ("person=quick", []),  # of the title
        ("person=UNA UPCOMING&q=u-77", ["Una"]),
        ("from=2027-01-05&to=2027-01-05", ["Una", "Late"]),
        ("from=2027-01-06", ["Next"]),
        ("to=2027-01-04", []),
        ("event_type=1", ["Una", "Late", "Next"]),
        ("event_type=999", []),
        ("from=2027-01-06&to=2027-01-05", ["Next"]),  # the second has an error
        ("from=x&to=9999-12-31", ["Una", "Late", "Next"]),
    ],
)
def test_bookings_are_filtered_by_event_type_person_and_days(
    rick_client: FlaskClient, book, query: str, found: list[str]
) -> None:
    book(name="Una Upcoming", email="una@example.com", metadata={"user_id": "u-77"})
    book(NOON, name="Late")
    book(NOON + timedelta(days=1), name="Next")
    shown = [title.split(" and ")[1].split()[0] for title in titles(rick_client, "upcoming", f"?{query}")]
    assert shown == found


def test_a_date_that_is_none_is_named_and_kept(rick_client: FlaskClient, four) -> None:
    page = rick_client.get("/bookings/upcoming?from=2027-02-30&to=0001-01-01&person=una").text
    assert "Must be a date." in page
    assert "Must be between 1970 and 9000." in page
    assert 'value="2027-02-30"' in page
    assert 'href="/bookings/past?person=una&amp;from=2027-02-30&amp;to=0001-01-01"' in page


def test_bookings_are_listed_below_their_day(rick_client: FlaskClient, book, monday) -> None:
    book(name="One")
    book(NOON, name="Two")
    book(NOON + timedelta(days=1), name="Three")
    monday.move_to(TUESDAY_TEN - timedelta(hours=3))
    page = rick_client.get("/bookings/upcoming").text
    days = re.findall(r'<h2 class="day-heading">([^<]+)</h2>', page)
    assert days == ["Today, Tuesday, 5 January 2027", "Wednesday, 6 January 2027"]


def test_a_list_is_downloaded_as_csv_as_it_is_filtered(rick_client: FlaskClient, book) -> None:
    book(name="Nguyễn", notes='a,\n"b"', metadata={"user_id": "7"})
    book(NOON, name="Other")
    answer = rick_client.get("/bookings/upcoming.csv?q=nguyen")
    rows = list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="bookings-upcoming.csv"'
    assert [(row["Start"], row["Time zone"], row["Name"], row["Notes"], row["Metadata"]) for row in rows] == [
        ("2027-01-05 11:00", "Europe/Berlin", "Nguyễn", 'a,\n"b"', '{"user_id": "7"}')
    ]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\uff1d"])
def test_no_cell_of_the_csv_is_a_formula(rick_client: FlaskClient, book, first: str) -> None:
    formula = f"{first}HYPERLINK(1)"
    book(name=formula, notes=formula)
    row = next(csv.DictReader(io.StringIO(rick_client.get("/bookings/upcoming.csv").text)))
    assert (row["Name"], row["Notes"]) == (f"'{formula}", f"'{formula}")


def test_a_file_that_would_be_too_large_is_refused_by_name(rick_client, four, monkeypatch) -> None:
    monkeypatch.setattr("calapp.bookings.lists.MOST_ROWS", 0)
    answer = rick_client.get("/bookings/upcoming.csv?person=una", follow_redirects=True)
    assert "A file has up to 0 bookings." in answer.text
    assert answer.request.full_path == "/bookings/upcoming?person=una"


def test_a_booking_sums_its_deliveries_up_and_names_those_that_fail(
    rick_client, book, rick, saved, session
) -> None:
    for name in ("Good", "Bad"):
        saved(
            Webhook(
                user_id=rick.id,
                name=name,
                subscriber_url=f"https://hooks.example.com/{name}",
                triggers=["BOOKING_CREATED"],
            )
        )
    booking = book()
    good, bad = session.scalars(select(Delivery).order_by(Delivery.id))
    with transaction() as changing:
        changing.get(Delivery, good.id).state = State.DELIVERED
        changing.get(Delivery, bad.id).attempts_on_schedule = 2
    page = rick_client.get(f"/bookings/{booking.uid}").text
    assert "1 delivered, 1 failing" in page
    assert re.search(r'<p class="bad">Failing: <a href="[^"]+">Bad</a></p>', page)
    for number in (good.webhook_id, bad.webhook_id):
        assert rick_client.post(f"/integrations/webhooks/{number}/delete").status_code == 303
    page = rick_client.get(f"/bookings/{booking.uid}").text
    assert "1 delivered" in page
    assert page.count(">Webhook deleted</span>") == 2
    assert "No webhook" not in page
    assert "Failing: " not in page


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "2147483648", "9999"])
def test_an_odd_page_number_shows_a_page(rick_client: FlaskClient, four, page: str) -> None:
    assert rick_client.get(f"/bookings/upcoming?page={page}").status_code == 200


def test_a_booking_shows_what_its_link_said(rick_client: FlaskClient, book) -> None:
    left_out = ("metadata[]: a key has 1 to 40 characters",)
    booking = book(metadata={"user_id": "<i>1</i>"}, left_out=left_out, notes="Hello")
    page = rick_client.get(f"/bookings/{booking.uid}").text
    assert "&lt;i&gt;1&lt;/i&gt;" in page
    assert "1 entry from the link left out" in page
    assert "metadata[]: a key has 1 to 40 characters" in page


def test_a_booking_shows_its_events_and_their_deliveries(rick_client, client, book, rick, saved) -> None:
    saved(
        Webhook(user_id=rick.id, subscriber_url="https://hooks.example.com/a", triggers=["BOOKING_CREATED"])
    )
    booking = book()
    answer = client.post(f"/booking/{booking.uid}/reschedule", data={"start": "2027-01-05T12:00:00Z"})
    page = rick_client.get(answer.location.replace("/booking/", "/bookings/")).text
    assert page.index("BOOKING_CREATED") < page.index("BOOKING_RESCHEDULED")
    assert f"/deliveries?booking={booking.uid}" in page
    assert "https://hooks.example.com/a" in page
    assert "No webhook was subscribed to this event." in page
    assert "event 2 of this booking" in page
    leads_to = re.search(r'href="(/integrations/events/evt_[^"]+)"', page)[1]
    assert "https://hooks.example.com/a" in rick_client.get(leads_to).text


def test_a_booking_is_confirmed_by_one_click(rick_client: FlaskClient, four, triggers) -> None:
    page = rick_client.get("/bookings/unconfirmed").text
    path = re.search(r'action="(/bookings/[^/]+/confirm)"', page)[1]
    page = rick_client.post(path, follow_redirects=True).text
    assert "Booking confirmed." in page
    assert triggers()[-1] == "BOOKING_CREATED"
    again = rick_client.post(path)
    assert again.status_code == 409
    assert "This booking is already confirmed." in again.text


@pytest.mark.parametrize(
    ("act", "words"), [("reject", "Reject this booking?"), ("cancel", "Cancel this meeting?")]
)
def test_what_hurts_is_asked_first_in_the_dialog_or_on_a_page(
    rick_client, book, triggers, act, words
) -> None:
    path = f"/bookings/{book().uid}/{act}"
    assert words in rick_client.get(path).text
    assert rick_client.get(path, headers=HTMX).text.lstrip().startswith("<form")
    assert triggers() == ["BOOKING_CREATED"]


def test_a_reason_that_is_too_long_comes_back_in_the_dialog(rick_client: FlaskClient, book, triggers) -> None:
    path = f"/bookings/{book().uid}/cancel"
    answer = rick_client.post(path, data={"reason": "x" * 5001}, headers=HTMX)
    assert answer.status_code == 422
    assert "Must be at most 5,000 characters." in answer.text
    assert "x" * 5001 in answer.text
    assert triggers() == ["BOOKING_CREATED"]


def test_a_dialog_that_comes_too_late_leads_to_the_booking(rick_client: FlaskClient, book, triggers) -> None:
    path = f"/bookings/{book().uid}"
    for _ in range(2):
        answer = rick_client.post(f"{path}/cancel", data={"reason": "Ill"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == path
    page = rick_client.get(path).text
    assert "This booking is already cancelled." in page
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_a_host_cancels_with_a_reason_for_the_visitor(rick_client, client, book) -> None:
    uid = book().uid
    rick_client.post(f"/bookings/{uid}/cancel", data={"reason": "On holiday"})
    assert "On holiday" in client.get(f"/booking/{uid}").text
    assert "(rick@example.com)" in rick_client.get(f"/bookings/{uid}").text


def test_a_no_show_is_marked_and_taken_back(rick_client: FlaskClient, book, monday, triggers) -> None:
    path = f"/bookings/{book(guests=('eve@example.com',)).uid}"
    assert "No-show" not in rick_client.get(path).text
    monday.move_to(NOON)
    form = {"attendee": "eve@example.com", "no_show": "1"}
    assert "Marked as no-show." in rick_client.post(f"{path}/no-show", data=form, follow_redirects=True).text
    page = rick_client.post(f"{path}/no-show", data=form | {"no_show": "0"}, follow_redirects=True).text
    assert "No longer marked as no-show." in page
    assert triggers() == ["BOOKING_CREATED", "BOOKING_NO_SHOW_UPDATED", "BOOKING_NO_SHOW_UPDATED"]


@pytest.mark.parametrize("attendee", ["", "nobody@example.com", "x" * 9000])
def test_a_no_show_of_a_stranger_is_refused(rick_client, book, monday, triggers, attendee: str) -> None:
    path = f"/bookings/{book().uid}/no-show"
    monday.move_to(NOON)
    answer = rick_client.post(path, data={"attendee": attendee, "no_show": "1"})
    assert answer.status_code == 409
    assert "No attendee of this booking has this email address." in answer.text
    assert triggers() == ["BOOKING_CREATED"]


@pytest.mark.parametrize("act", ["", "/confirm", "/reject", "/cancel", "/no-show"])
def test_a_strangers_booking_is_not_found(bob_client, client, book, triggers, act: str) -> None:
    path = f"/bookings/{book().uid}{act}"
    call = bob_client.post if act else bob_client.get
    assert call(path).status_code == 404
    assert (client.post if act else client.get)(path).location.startswith("/login")
    assert triggers() == ["BOOKING_CREATED"]


@pytest.mark.parametrize("recorded", [False, True])
def test_v8_a_request_whose_start_has_passed_is_past_and_offers_nothing(
    rick_client, book, quick_chat, change, monday, recorded: bool
) -> None:
    change(quick_chat, requires_confirmation=True)
    path = f"/bookings/{book().uid}"
    monday.move_to(TUESDAY_TEN)
    if recorded:
        record_meetings()
    assert counts(rick_client) == [0, 0, 1, 0]
    page = rick_client.get(path).text
    assert "No response in time" in page
    assert not any(f"{path}/{act}" in page for act in ("confirm", "reject", "cancel"))
    for act in ("confirm", "reject", "cancel"):
        answer = rick_client.post(f"{path}/{act}")
        assert (answer.status_code, "not confirmed in time" in answer.text) == (409, True)
    assert rick_client.get(f"{path}/reject", headers=HTMX).headers["HX-Redirect"] == path


def test_times_are_on_the_clock_of_the_hosts_browser(rick_client: FlaskClient, book) -> None:
    uid = book().uid
    american = {"Accept-Language": "en-US,en;q=0.9"}
    for page in ("/bookings/upcoming", f"/bookings/{uid}", f"/bookings/{uid}/cancel"):
        assert "11:00am – 11:15am" in rick_client.get(page, headers=american).text
        assert "11:00 – 11:15" in rick_client.get(page, headers={"Accept-Language": "de"}).text


@pytest.fixture
def ten(book, monday, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten bookings; the first two and the last are of a name that no uid has in it. A search takes three."""
    for number in range(10):
        name = "Bobadilla" if number in {0, 1, 9} else "Ada"
        book(TUESDAY_TEN + timedelta(minutes=15 * number), name=name, email=f"{name}{number}@example.com")
    monkeypatch.setattr("calapp.bookings.lists.LOOKED_THROUGH", 3)


def searched(client: FlaskClient, address: str) -> list[list[str]]:
    """Return the uids that each page of a search lists, by its links to go on."""
    seen = []
    while address:
        page = client.get(address).text
        seen.append(re.findall(r'class="row-title" href="/bookings/([^"]+)"', page))
        assert page.count('class="count"') == (1 if "Searched bookings" in page or "start=" in address else 4)
        address = html.unescape(next(iter(re.findall(r'href="([^"]*start=[^"]*)"', page)), ""))
    return seen


@on_both_databases
@pytest.mark.parametrize("query", ["q=bobadilla", "person=bobadilla"])
def test_a_search_among_many_bookings_looks_through_some_at_a_time(
    rick_client: FlaskClient, ten, monday, query: str
) -> None:
    upcoming = searched(rick_client, f"/bookings/upcoming?{query}")
    assert [len(some) for some in upcoming] == [2, 0, 0, 1]
    assert "until Tuesday, 5 January 2027 matches" in rick_client.get("/bookings/upcoming?q=nobody").text
    monday.move_to(TUESDAY_TEN + timedelta(days=9))
    past = searched(rick_client, f"/bookings/past?{query}")
    assert [len(some) for some in past] == [1, 0, 1, 1]
    assert [uid for page in past for uid in page] == [uid for page in upcoming for uid in page][::-1]
    for start in ("soon", "2027-01-05", "0001-01-01T00:00+14:00"):
        assert rick_client.get(f"/bookings/past?{query}&start={start}").status_code == 200


def test_a_long_list_is_counted_up_to_a_thousand_and_read_to_its_end(
    rick_client: FlaskClient, ten, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calapp.bookings.lists.COUNTED", 4)
    monkeypatch.setattr("calapp.bookings.lists.PAGE", 3)
    assert "4+ bookings" in rick_client.get("/bookings/upcoming").text
    pages = [titles(rick_client, "upcoming", f"?page={number}") for number in range(1, 5)]
    assert [len(some) for some in pages] == [3, 3, 3, 1]
    assert titles(rick_client, "upcoming", "?page=99") == pages[-1]
    assert "Next page" not in rick_client.get("/bookings/upcoming?page=4").text


@on_both_databases
def test_cancelled_bookings_are_found_without_a_walk_through_all(
    rick, session: Session, database: str
) -> None:
    query = lists.in_tab(rick, lists.Tab.CANCELLED, lists.BookingFilter()).with_only_columns(Booking.id)
    wanted = query.compile(session.bind, compile_kwargs={"literal_binds": True})
    if database:
        session.execute(text("SET enable_seqscan TO off"))
    plan = str(session.execute(text(f"EXPLAIN {'' if database else 'QUERY PLAN '}{wanted}")).all())
    assert "ix_booking_cancelled" in plan
