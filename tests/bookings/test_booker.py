"""The booker: everything that it shows is in its address."""

import html
import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from calapp.availability.models import WeeklyHours
from calapp.bookings.models import Booking
from calapp.event_types.models import EventType

pytestmark = pytest.mark.usefixtures("quick_chat")

BOOKER = "/rick/quick-chat"


def kept(page: str) -> list[tuple[str, str]]:
    """Return the fields that go along with every click on the booker."""
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page)
    return [(name, html.unescape(value)) for name, value in fields]


def slots(page: str) -> list[str]:
    """Return the times that the booker offers."""
    return re.findall(r'<button name="slot" value="([^"]+)"', page)


def test_a_month_counts_its_times(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?month=2027-01&tz=Europe/Berlin").text
    assert 'aria-label="Tuesday, 5 January 2027, 32 times available"' in page
    assert "Sunday, 10 January 2027" not in page


def test_a_day_shows_its_times_in_the_visitors_zone(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=Asia/Tokyo").text
    assert ">17:00</button>" in page
    assert "2027-01-05T08:00:00Z" in slots(page)


def test_a_day_may_show_a_twelve_hour_clock(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=Asia/Tokyo&tf=12").text
    assert ">5:00pm</button>" in page
    assert ("tf", "12") in kept(page)


def test_an_hour_that_comes_twice_is_told_apart(client, quick_chat: EventType, saved, change) -> None:
    change(quick_chat, max_days=400, length=60)
    saved(WeeklyHours(user_id=quick_chat.user_id, weekday=6, start_minute=0, end_minute=360))
    page = client.get(f"{BOOKER}?date=2027-10-31&tz=Europe/Berlin").text
    texts = re.findall(r"<li><button [^>]*>([^<]+)</button></li>", page)
    assert texts == ["00:00", "01:00", "02:00 CEST", "02:00 CET", "03:00", "04:00", "05:00"]


def test_a_slot_shows_the_form_with_its_time(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?slot=2027-01-05T10:00:00Z&tz=Asia/Tokyo").text
    assert "Tuesday, 5 January 2027<br>19:00 – 19:15" in page
    assert 'name="start" value="2027-01-05T10:00:00Z"' in page
    assert 'name="time_zone" value="Asia/Tokyo"' in page


def test_a_slot_that_is_taken_shows_the_days_other_times(client: FlaskClient, book) -> None:
    book()
    page = client.get(f"{BOOKER}?slot=2027-01-05T10:00:00Z&tz=UTC&name=Bob").text
    assert "no longer available" in page
    assert "2027-01-05T10:15:00Z" in slots(page)
    assert ("name", "Bob") in kept(page)


def test_a_month_without_times_offers_the_next_one_with(client: FlaskClient, quick_chat, change) -> None:
    change(quick_chat, notice=30 * 1440)
    page = client.get(f"{BOOKER}?month=2027-01&tz=UTC").text
    assert "No times available in January." in page
    assert "Go to Wednesday, 3 February 2027" in page


def test_a_month_past_the_horizon_leads_back(client: FlaskClient, quick_chat, change) -> None:
    change(quick_chat, max_days=20)
    page = client.get(f"{BOOKER}?month=2027-06&tz=UTC").text
    assert "No times available in June." in page
    assert "Go to Monday, 4 January 2027" in page


def test_no_month_past_the_horizon_is_offered(client: FlaskClient, quick_chat, change) -> None:
    change(quick_chat, max_days=20)
    assert 'aria-label="Next month"' not in client.get(f"{BOOKER}?month=2027-01").text


def test_a_host_who_is_never_there_says_so(client: FlaskClient, quick_chat, change) -> None:
    change(quick_chat, max_days=0, notice=2880)
    assert "No times are available at the moment." in client.get(BOOKER).text


def test_metadata_and_prefill_survive_every_click(client: FlaskClient) -> None:
    query = "metadata[user_id]=1%202&metadata[plan]=a%26b"
    query += "&name=Ada&email=ada@example.com&guests=eve@example.com"
    page = client.get(f"{BOOKER}?{query}&tz=UTC&month=2027-01").text
    prefill = [("name", "Ada"), ("email", "ada@example.com"), ("guests", "eve@example.com")]
    metadata = [("metadata[user_id]", "1 2"), ("metadata[plan]", "a&b")]
    assert kept(page)[:5] == [*prefill, *metadata]
    assert len(slots(page)) > 20
    form = client.get(f"{BOOKER}?{query}&slot={slots(page)[0]}").text
    assert [pair for pair in kept(form.partition("</form>")[0]) if "metadata" in pair[0]] == metadata


def test_a_link_prefills_the_form_and_its_questions(client: FlaskClient, quick_chat, change) -> None:
    questions = [{"name": "topic", "label": "Topic", "type": "text", "required": True, "options": []}]
    change(quick_chat, questions=questions)
    query = "name=Ada&email=ada@example.com&notes=Hi&responses[topic]=Art"
    query += "&guests=a@example.com&guests=b@example.com"
    page = client.get(f"{BOOKER}?slot=2027-01-05T10:00:00Z&{query}").text
    for value in ("Ada", "ada@example.com", "a@example.com, b@example.com", "Art"):
        assert f'value="{value}"' in page
    assert re.search(r"<textarea[^>]*name=\"notes\"[^>]*>\s*Hi</textarea>", page)


def test_an_old_zone_name_of_a_browser_is_understood(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=Asia/Calcutta").text
    assert ">13:30</button>" in page


def test_the_zone_of_the_last_visit_is_remembered(client: FlaskClient) -> None:
    client.get(f"{BOOKER}?tz=Asia/Tokyo")
    assert ">17:00</button>" in client.get(f"{BOOKER}?date=2027-01-05").text


def test_a_newcomer_without_a_script_sees_the_hosts_zone(client: FlaskClient) -> None:
    assert '<option value="Europe/Berlin" selected>' in client.get(BOOKER).text


def test_other_sites_may_frame_the_booker(client: FlaskClient) -> None:
    assert "frame-ancestors *" in client.get(BOOKER).headers["Content-Security-Policy"]


def test_a_redirect_to_another_site_is_allowed_to_the_form(client, quick_chat, change) -> None:
    change(quick_chat, redirect_url="https://bank.example/thanks")
    policy = client.get(BOOKER).headers["Content-Security-Policy"]
    assert "form-action 'self' https://bank.example;" in policy


def test_htmx_gets_the_booker_alone(client: FlaskClient) -> None:
    page = client.get(BOOKER, headers={"HX-Request": "true"}).text
    assert page.startswith('<div id="booker">')


@pytest.mark.parametrize(
    "query",
    [
        "slot=9999-12-31T23:59:59Z&tz=Asia/Tokyo",
        "slot=0001-01-01T00:00:00Z&tz=America/New_York",
        "slot=2027-02-30T10:00:00Z",
        "slot=x&date=y&month=z&tz=localtime&tf=13",
        "date=9999-12-31",
        "date=0001-01-01&tz=America/New_York",
        "month=2200-12",
        "month=2000-01",
        "month=0000-00",
        "date=2027-W01-1",
        "tz=../../etc/passwd",
        "tz=" + "x" * 5000,
        "name=%F0%9F%98%80&email=%ED%A0%80&notes=%FF%FE",
        "metadata[a]=" + "x" * 9000,
        "slot=2027-01-05T10:00:00Z&slot=2027-01-06T10:00:00Z&date=2027-01-05&date=x",
    ],
)
def test_an_odd_address_shows_a_booker_all_the_same(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{BOOKER}?{query}")
    assert answer.status_code == 200
    assert '<div id="booker">' in answer.text


def test_a_hosts_page_lists_what_is_not_hidden(client: FlaskClient, rick, saved) -> None:
    saved(EventType(user_id=rick.id, title="Secret talk", slug="secret", length=30, hidden=True))
    page = client.get("/Rick").text
    assert 'href="/rick/quick-chat"' in page
    assert "Secret talk" not in page


def test_a_hidden_event_type_can_be_booked_by_its_link(client: FlaskClient, quick_chat, change) -> None:
    change(quick_chat, hidden=True)
    assert "Quick chat" in client.get("/RICK/Quick-Chat").text


WIDE = "".join(f"&metadata[key{number}]={'ü' * 300}" for number in range(50))
WIDE_FORM = {f"metadata[k{number}]": "ü" * 600 for number in range(150)}
HOSTILE = {"name": '"' * 80_000, "notes": "&" * 100_000, "utm_source": "u" * 9_000}
LARGEST = 512 * 1024


@pytest.mark.parametrize("query", ["", "&slot=2027-01-05T10:00:00Z"])
def test_v2_what_a_link_brings_stands_in_a_page_but_not_in_each_click(
    client: FlaskClient, query: str
) -> None:
    page = client.get(f"{BOOKER}?tz=UTC{WIDE}{query}&utm=campaign&name={'&%26' * 9_000}").text
    assert len(page.encode()) < LARGEST // 2
    assert page.count("metadata[key7]") == (2 if query else 1)  # the way back from the form has them, too
    assert "campaign" not in page


@pytest.mark.parametrize("brought", [WIDE_FORM, HOSTILE, {"metadata[k]": '"' * 500, "tf": "x" * 9_000}])
@pytest.mark.parametrize("start", ["2027-01-05T10:00:00Z", "2020-01-01T10:00:00Z", ""])
def test_v2_no_answer_to_a_form_is_larger_than_512_kb(client: FlaskClient, brought, start: str) -> None:
    form = {"start": start, "time_zone": "UTC", "email": "x", **brought}
    answer = client.post(BOOKER, data=form, content_type="multipart/form-data")
    assert answer.status_code in {409, 422}
    assert len(answer.data) < LARGEST
    assert "x" * 9_000 not in answer.text
    assert "campaign" not in answer.text


def test_v2_a_visitor_who_books_too_often_gets_the_form_alone(client: FlaskClient) -> None:
    form = {"start": "2027-01-05T10:00:00Z", "time_zone": "UTC", "email": "x", "name": "Ada", **WIDE_FORM}
    answers = [client.post(BOOKER, data=form, content_type="multipart/form-data") for _ in range(21)]
    assert answers[-1].status_code == 429
    assert 'class="month"' not in answers[-1].text
    assert 'name="name"' in answers[-1].text
    assert 'value="Ada"' in answers[-1].text


def test_v2_a_button_counts_before_what_the_form_had(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?month=2027-02&tf=12&tz=UTC&tf=24&month=2027-01&date=2027-01-05").text
    assert "February" in page
    assert ("tf", "12") in kept(page)


def test_v2_the_host_is_still_told_what_a_link_brought_in_vain(client: FlaskClient, session) -> None:
    page = client.get(f"{BOOKER}?slot=2027-01-05T10:00:00Z&metadata[a b]=1&metadata[c]={'x' * 501}").text
    form = kept(page.partition("</form>")[0])
    fields = {**dict(form), "name": "Ada", "email": "ada@example.com", "attempt": ""}
    fields["left_out"] = [value for name, value in form if name == "left_out"]
    assert client.post(BOOKER, data=fields).status_code == 303
    [booking] = session.scalars(select(Booking))
    assert [text.partition(":")[0] for text in booking.metadata_left_out] == ["metadata[a b]", "metadata[c]"]


@pytest.mark.parametrize(
    ("languages", "first_day", "time"),
    [
        ("", "Monday", "11:00"),
        ("en-GB", "Monday", "11:00"),
        ("en-US,en;q=0.9", "Sunday", "11:00am"),
        ("de", "Monday", "11:00"),
        ("fr-CA", "Sunday", "11:00"),
        ("ar", "Saturday", "11:00am"),
        ("zh-Hant-TW", "Sunday", "11:00am"),
        ("\x85,;;q=x", "Monday", "11:00"),
    ],
)
def test_clock_and_week_are_as_the_browsers_language_has_them(
    client: FlaskClient, quick_chat, languages: str, first_day: str, time: str
) -> None:
    page = client.get(
        f"{BOOKER}?date=2027-01-05&tz=Europe/Berlin", headers={"Accept-Language": languages}
    ).text
    assert re.search(r'abbr="(\w+)"', page)[1] == first_day
    assert f'value="2027-01-05T10:00:00Z">{time}<' in page


def test_the_clock_that_was_chosen_wins_and_is_kept(client: FlaskClient, quick_chat, book) -> None:
    american = {"Accept-Language": "en-US"}
    client.get(f"{BOOKER}?tf=24&tz=Europe/Berlin", headers=american)
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=Europe/Berlin", headers=american).text
    assert ">11:00<" in page
    booking = book()
    assert "10:00 – 10:15" in client.get(f"/booking/{booking.uid}", headers=american).text


def test_zones_are_listed_with_their_present_offset(client: FlaskClient, quick_chat) -> None:
    page = client.get(f"{BOOKER}?tz=America/New_York").text
    assert '<option value="America/New_York" selected>America/New York (UTC-05:00)</option>' in page
