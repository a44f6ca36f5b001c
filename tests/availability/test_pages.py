"""A host sets weekly hours, copies days, and gives single dates hours of their own."""

import datetime as dt
import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.availability.service import hours_of
from calapp.availability.slots import Range
from calapp.event_types.models import EventType
from tests.bookings.conftest import monday

__all__ = ["monday"]

PAGE, DATES = "/availability", "/availability/overrides"
OFFICE = {"time_zone": "Europe/Berlin"} | {
    f"day-{day}-{end}": [text] for day in range(5) for end, text in (("start", "09:00"), ("end", "17:00"))
}


@pytest.fixture
def hours(rick: User, session: Session):
    """Return a function that reads Rick's hours from the database."""

    def read():
        session.rollback()
        return hours_of(session, rick)

    return read


def day(*pairs: tuple[str, str], number: int = 0) -> dict[str, list[str]]:
    """Return the form's fields of a day."""
    return {
        f"day-{number}-start": [start for start, _ in pairs],
        f"day-{number}-end": [end for _, end in pairs],
    }


def rows(page: str, number: int) -> list[tuple[str, str]]:
    """Return what the page's form holds for a day."""
    values = [re.findall(rf'name="day-{number}-{end}" value="([^"]*)"', page) for end in ("start", "end")]
    return list(zip(*values, strict=True))


def test_the_page_shows_the_hosts_week(rick_client: FlaskClient) -> None:
    page = rick_client.get(PAGE).text
    assert [rows(page, number) for number in range(7)] == [[("09:00", "17:00")]] * 5 + [[], []]
    assert '<option value="Europe/Berlin" selected>' in page


def test_several_ranges_of_a_day_are_kept_in_order(rick_client: FlaskClient, hours) -> None:
    form = OFFICE | day(("13:00", "17:00"), ("09:00", "12:00"), ("20:00", "00:00"))
    assert rick_client.post(PAGE, data=form).status_code == 303
    assert hours().weekly[0] == [Range(540, 720), Range(780, 1020), Range(1200, 1440)]
    page = rick_client.get(PAGE).text
    assert rows(page, 0) == [("09:00", "12:00"), ("13:00", "17:00"), ("20:00", "00:00")]


def test_the_zone_is_kept_with_the_week(rick_client: FlaskClient, hours) -> None:
    rick_client.post(PAGE, data=OFFICE | {"time_zone": "Asia/Kathmandu"})
    assert hours().zone == "Asia/Kathmandu"


def test_a_day_without_ranges_is_a_day_off(rick_client: FlaskClient, hours) -> None:
    rick_client.post(PAGE, data=OFFICE | day() | day(("", ""), number=1))
    assert set(hours().weekly) == {2, 3, 4}


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("09:00", "12:00"), ("11:55", "17:00")], "09:00 to 12:00 and 11:55 to 17:00 overlap."),
        ([("09:00", "12:00"), ("09:00", "12:00")], "overlap."),
        ([("17:00", "09:00")], "17:00 to 09:00 ends before it starts."),
        ([("09:00", "09:00")], "09:00 to 09:00 ends before it starts."),
        ([("09:00", "")], "Please enter times such as 09:00 and 17:00."),
        ([("9 am", "5 pm")], "Please enter times such as 09:00 and 17:00."),
        ([("24:30", "25:00")], "Please enter times such as 09:00 and 17:00."),
        ([("09:02", "12:00")], "in steps of five minutes"),
        ([(f"{hour:02}:00", f"{hour:02}:30") for hour in range(13)], "up to 12 time ranges"),
    ],
)
def test_a_bad_range_is_refused_at_its_day(rick_client, hours, pairs, words) -> None:
    answer = rick_client.post(PAGE, data=OFFICE | day(*pairs, number=2))
    assert answer.status_code == 422
    assert re.search(rf'id="day-2-error">[^<]*{re.escape(words)}', answer.text)
    assert "day-1-error" not in answer.text
    assert rows(answer.text, 2) == pairs
    assert hours().weekly[2] == [Range(540, 1020)]


def test_ranges_may_touch_each_other(rick_client: FlaskClient, hours) -> None:
    rick_client.post(PAGE, data=OFFICE | day(("09:00", "12:00"), ("12:00", "17:00")))
    assert hours().weekly[0] == [Range(540, 720), Range(720, 1020)]


def test_a_zone_that_is_none_is_refused(rick_client: FlaskClient, hours) -> None:
    answer = rick_client.post(PAGE, data=OFFICE | {"time_zone": "localtime"})
    assert answer.status_code == 422
    assert "Please choose a time zone" in answer.text
    assert hours().zone == "Europe/Berlin"


def test_a_day_is_copied_to_others_before_saving(rick_client: FlaskClient, hours) -> None:
    form = (
        OFFICE | day(("10:00", "11:00"), ("12:00", "13:00")) | {"copy-0-to": ["1", "5"], "action": "copy-0"}
    )
    page = rick_client.post(PAGE, data=form).text
    for number in (0, 1, 5):
        assert rows(page, number) == [("10:00", "11:00"), ("12:00", "13:00")]
    assert rows(page, 2) == [("09:00", "17:00")]
    assert hours().weekly[0] == [Range(540, 1020)]


def test_hours_are_added_behind_the_last_ones(rick_client: FlaskClient) -> None:
    page = rick_client.post(PAGE, data=OFFICE | {"action": "add-0"}).text
    assert rows(page, 0) == [("09:00", "17:00"), ("18:00", "19:00")]
    page = rick_client.post(PAGE, data=OFFICE | {"action": "add-6"}).text
    assert rows(page, 6) == [("09:00", "17:00")]


def test_the_range_whose_button_was_pressed_is_removed(rick_client: FlaskClient) -> None:
    form = OFFICE | day(("09:00", "10:00"), ("", ""), ("12:00", "13:00")) | {"action": "remove-0-1"}
    page = rick_client.post(PAGE, data=form).text
    assert rows(page, 0) == [("09:00", "10:00"), ("12:00", "13:00")]


@pytest.mark.parametrize("action", ["add-7", "remove-0-99", "copy-0", "x", "remove-0-"])
def test_an_odd_button_changes_nothing(rick_client: FlaskClient, hours, action: str) -> None:
    answer = rick_client.post(PAGE, data=OFFICE | {"action": action, "copy-0-to": ["9", "x", "²"]})
    assert rows(answer.text, 0) == [("09:00", "17:00")]
    assert hours().weekly[0] == [Range(540, 1020)]


# Date overrides


def test_a_date_has_hours_of_its_own(rick_client: FlaskClient, hours) -> None:
    form = {
        "date": "2027-01-05",
        "override-start": ["10:00", "", "14:00"],
        "override-end": ["11:00", "", "15:00"],
    }
    assert rick_client.post(DATES, data=form).status_code == 303
    assert hours().overrides == {dt.date(2027, 1, 5): [Range(600, 660), Range(840, 900)]}
    page = rick_client.get(PAGE).text
    assert "Tuesday, 5 January 2027" in page
    assert "10:00 – 11:00, 14:00 – 15:00" in page


def test_a_date_may_be_a_day_off(rick_client: FlaskClient, client, quick_chat, hours) -> None:
    rick_client.post(DATES, data={"date": "2027-01-05", "off": "1"})
    assert hours().overrides == {dt.date(2027, 1, 5): []}
    assert "Day off" in rick_client.get(PAGE).text
    assert "Tuesday, 5 January 2027, " not in client.get("/rick/quick-chat?month=2027-01&tz=UTC").text


def test_the_same_date_again_replaces_its_hours(rick_client: FlaskClient, hours) -> None:
    rick_client.post(DATES, data={"date": "2027-01-05", "off": "1"})
    rick_client.post(DATES, data={"date": "2027-01-05", "override-start": "10:00", "override-end": "11:00"})
    assert hours().overrides == {dt.date(2027, 1, 5): [Range(600, 660)]}


def test_a_removed_date_has_its_weekdays_hours_again(rick_client: FlaskClient, hours) -> None:
    rick_client.post(DATES, data={"date": "2027-01-05", "off": "1"})
    assert rick_client.post(f"{DATES}/2027-01-05/delete").status_code == 303
    assert hours().overrides == {}
    assert rick_client.post(f"{DATES}/nonsense/delete").status_code == 303


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"date": "", "off": "1"}, "Please choose a date."),
        ({"date": "2027-02-30", "off": "1"}, "Please choose a date."),
        ({"date": "0001-01-01", "off": "1"}, "from today to 2200"),
        ({"date": "9999-12-31", "off": "1"}, "from today to 2200"),
        ({"date": "2027-01-03", "off": "1"}, "from today to 2200"),
        ({"date": "2027-01-05"}, "Please enter hours, or choose a day off."),
        (
            {"date": "2027-01-05", "override-start": "12:00", "override-end": "11:00"},
            "ends before it starts.",
        ),
    ],
)
def test_a_bad_date_is_named_and_kept(rick_client: FlaskClient, hours, form, words: str) -> None:
    answer = rick_client.post(DATES, data=form)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'name="date" type="date" value="{form["date"]}"' in answer.text
    assert hours().overrides == {}


def test_dates_that_have_passed_are_not_listed(rick_client: FlaskClient, monday) -> None:
    rick_client.post(DATES, data={"date": "2027-01-05", "off": "1"})
    monday.shift(dt.timedelta(days=7))
    assert "5 January 2027" not in rick_client.get(PAGE).text


def test_each_host_has_hours_of_their_own(rick_client, bob_client, hours) -> None:
    bob_client.post(PAGE, data=OFFICE | day(("10:00", "11:00")))
    bob_client.post(DATES, data={"date": "2027-01-05", "off": "1"})
    assert hours().weekly[0] == [Range(540, 1020)]
    assert hours().overrides == {}


def test_a_stranger_is_led_to_the_sign_in(client: FlaskClient) -> None:
    for path in (PAGE, DATES, f"{DATES}/2027-01-05/delete"):
        assert client.post(path, data=OFFICE).location.startswith("/login")


def test_v7_hours_over_midnight_can_be_typed_and_booked(
    rick_client: FlaskClient, client: FlaskClient, quick_chat: EventType
) -> None:
    form = {"time_zone": "Europe/Berlin", "day-0-start": "22:00", "day-0-end": "02:00"}
    assert rick_client.post("/availability", data=form).status_code == 303
    page = rick_client.get("/availability").text
    assert 'name="day-0-start" value="22:00"' in page
    assert 'name="day-0-end" value="02:00"' in page
    monday = dt.date(2027, 1, 11)
    slots = client.get(
        f"/v2/slots?username=rick&eventTypeSlug=quick-chat&start={monday}&end={monday}T23:59:00Z"
    )
    starts = [one["start"][11:16] for one in slots.get_json()["data"]["2027-01-11"]]
    assert starts == [f"{hour}:{minute:02}" for hour in (21, 22, 23) for minute in (0, 15, 30, 45)]


def test_v7_a_date_may_have_hours_over_midnight(rick_client: FlaskClient) -> None:
    form = {"date": "2027-01-11", "override-start": "20:00", "override-end": "01:30"}
    assert rick_client.post("/availability/overrides", data=form).status_code == 303
    assert "20:00 – 01:30 (next day)" in rick_client.get("/availability").text
