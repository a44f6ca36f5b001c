"""A host has several schedules, of which an event type names one, and takes time off."""

import datetime as dt
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.models import User
from calapp.availability.models import Schedule, TimeOff, WeeklyHours
from calapp.availability.service import give_missing_schedules, hours_of, schedules_of
from calapp.availability.slots import Range
from calapp.bookings import times
from calapp.clock import now
from calapp.db import transaction
from calapp.event_types.models import EventType
from tests.bookings.conftest import monday

__all__ = ["monday"]

NINE_TO_FIVE = [Range(540, 1020)]
EVENING = {"name": "Evenings", "time_zone": "America/New_York", "day-0-start": "18:00", "day-0-end": "20:00"}


@pytest.fixture
def evenings(rick: User, rick_client: FlaskClient, session: Session) -> Schedule:
    """A second schedule of Rick's: Mondays 18 to 20 in New York."""
    rick_client.post("/availability/new", data={"name": "Evenings"})
    session.rollback()
    (made,) = [one for one in schedules_of(session, rick) if one.name == "Evenings"]
    assert rick_client.post(f"/availability/{made.id}", data=EVENING).status_code == 303
    session.rollback()
    return made


def test_a_new_schedule_begins_with_office_hours_and_is_not_the_default(
    rick: User, rick_client: FlaskClient, session: Session
) -> None:
    answer = rick_client.post("/availability/new", data={"name": " Evenings "})
    session.rollback()
    default, made = schedules_of(session, rick)
    assert answer.location == f"/availability/{made.id}"
    assert (default.name, default.is_default, made.name, made.is_default) == (
        "Working hours", True, "Evenings", False,
    )  # fmt: skip
    assert hours_of(session, rick, made.id).weekly == dict.fromkeys(range(5), NINE_TO_FIVE)


def test_a_schedule_needs_a_name(rick_client: FlaskClient) -> None:
    for path in ("/availability/new", "/availability"):
        answer = rick_client.post(path, data={"name": " ", "time_zone": "Europe/Berlin"})
        assert answer.status_code == 422
        assert "Please enter a name." in answer.text


def test_each_schedule_has_hours_zone_and_dates_of_its_own(
    rick: User, rick_client: FlaskClient, session: Session, evenings: Schedule
) -> None:
    day = dt.date(2030, 12, 24)
    form = {"date": day.isoformat(), "off": "1"}
    assert rick_client.post(f"/availability/{evenings.id}/overrides", data=form).status_code == 303
    session.rollback()
    other, own = hours_of(session, rick), hours_of(session, rick, evenings.id)
    assert (own.zone, own.weekly, own.overrides) == ("America/New_York", {0: [Range(1080, 1200)]}, {day: []})
    assert (other.zone, other.weekly[0], other.overrides) == ("Europe/Berlin", NINE_TO_FIVE, {})


def test_an_event_type_is_offered_by_its_schedule(
    rick_client: FlaskClient, session: Session, quick_chat: EventType, evenings: Schedule, monday: dt.date
) -> None:
    form = {"title": "Quick chat", "slug": "quick-chat", "length": "60", "schedule_id": str(evenings.id)}
    assert 'name="schedule_id"' in rick_client.get(f"/event-types/{quick_chat.id}").text
    assert rick_client.post(f"/event-types/{quick_chat.id}", data=form).status_code == 303
    session.rollback()
    start = dt.datetime(2027, 1, 11, tzinfo=dt.UTC)
    found = times.offered(session, quick_chat, start, start + dt.timedelta(days=2))
    assert [f"{one:%a %H:%M}" for one in found] == ["Mon 23:00", "Tue 00:00"]


def test_somebody_elses_schedule_is_refused(
    rick_client: FlaskClient, quick_chat: EventType, bob: User, saved: Callable[..., None]
) -> None:
    bobs = Schedule(user_id=bob.id, name="Bob's", own_time_zone="UTC")
    saved(bobs)
    form = {"title": "Quick chat", "slug": "quick-chat", "length": "15", "schedule_id": str(bobs.id)}
    answer = rick_client.post(f"/event-types/{quick_chat.id}", data=form)
    assert answer.status_code == 422


def test_another_schedule_becomes_the_default_with_its_zone(
    rick: User, rick_client: FlaskClient, session: Session, evenings: Schedule
) -> None:
    assert rick_client.post(f"/availability/{evenings.id}/default").location == "/availability"
    session.rollback()
    first, second = schedules_of(session, rick)
    assert (first.id, rick.time_zone, second.time_zone) == (evenings.id, "America/New_York", "Europe/Berlin")
    assert hours_of(session, rick).weekly == {0: [Range(1080, 1200)]}
    assert hours_of(session, rick, second.id).weekly[0] == NINE_TO_FIVE


def test_what_used_a_deleted_schedule_has_the_default_one(
    rick: User, rick_client: FlaskClient, session: Session, evenings: Schedule, quick_chat: EventType, change
) -> None:
    change(quick_chat, schedule_id=evenings.id)
    assert (
        "Quick chat will use your default schedule"
        in rick_client.get(f"/availability/{evenings.id}/delete").text
    )
    assert rick_client.post(f"/availability/{evenings.id}/delete").status_code == 303
    session.rollback()
    assert [one.name for one in schedules_of(session, rick)] == ["Working hours"]
    assert quick_chat.schedule_id is None
    assert hours_of(session, rick).weekly[0] == NINE_TO_FIVE


def test_the_default_schedule_is_not_deleted(
    rick: User, rick_client: FlaskClient, session: Session, evenings: Schedule
) -> None:
    rick_client.post(f"/availability/{rick.default_schedule_id}/delete")
    assert "cannot be deleted" in rick_client.get("/availability").text
    session.rollback()
    assert len(schedules_of(session, rick)) == 2


def test_there_may_be_so_many_schedules(
    rick_client: FlaskClient, evenings: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCHEDULES_PER_HOST", 2)
    answer = rick_client.post("/availability/new", data={"name": "Third"})
    assert answer.status_code == 422
    assert "limit of 2 schedules" in answer.text


def test_several_dates_get_the_same_hours(rick: User, rick_client: FlaskClient, session: Session) -> None:
    form = {"date": ["2030-12-24", "2030-12-31"], "override-start": "09:00", "override-end": "12:00"}
    more = rick_client.post("/availability/overrides", data=form | {"action": "add-date"}).text
    assert more.count('name="date"') == 3
    assert rick_client.post("/availability/overrides", data=form).status_code == 303
    session.rollback()
    assert list(hours_of(session, rick).overrides.values()) == [[Range(540, 720)]] * 2


def test_hours_that_a_version_without_schedules_writes_are_the_default_ones(
    rick: User, bob: User, session: Session, evenings: Schedule, saved: Callable[..., None]
) -> None:
    saved(WeeklyHours(user_id=rick.id, weekday=6, start_minute=0, end_minute=60))
    assert hours_of(session, rick).weekly[6] == [Range(0, 60)]
    assert 6 not in hours_of(session, rick, evenings.id).weekly
    with transaction() as writing:
        assert give_missing_schedules(writing) == 1  # Bob, whom it signed up
    assert [one.is_default for one in schedules_of(session, bob)] == [True]


def days(first: int, last: int) -> dict[str, str]:
    today = now().date()
    return {
        name: (today + dt.timedelta(days=number)).isoformat()
        for name, number in (("first_day", first), ("last_day", last))
    }


def test_nothing_is_offered_in_time_off_and_the_month_says_so(
    rick: User, rick_client: FlaskClient, client: FlaskClient, session: Session, quick_chat, monday
) -> None:
    form = {"first_day": "2027-01-05", "last_day": "2027-01-06", "note": "Surfing <3"}
    assert rick_client.post("/availability/time-off", data=form).status_code == 303
    session.rollback()
    start = dt.datetime(2027, 1, 4, tzinfo=dt.UTC)
    found = times.offered(session, quick_chat, start, start + dt.timedelta(days=4))
    assert {f"{one:%a}" for one in found} == {"Mon", "Thu"}
    assert "Surfing &lt;3" in rick_client.get("/availability").text
    month = client.get("/rick/quick-chat?month=2027-01&tz=Europe/Berlin").text
    assert month.count(", away") == 2
    assert "Surfing" not in month


def test_a_visitor_elsewhere_sees_only_whole_days_as_away(
    rick: User, client: FlaskClient, saved: Callable[..., None], quick_chat: EventType, monday
) -> None:
    saved(TimeOff(user_id=rick.id, first_day=dt.date(2027, 1, 5), last_day=dt.date(2027, 1, 6)))
    month = client.get("/rick/quick-chat?month=2027-01&tz=America/New_York").text
    assert month.count(", away") == 1


def test_time_off_is_removed(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post("/availability/time-off", data=days(1, 1))
    (made,) = session.scalars(select(TimeOff)).all()
    rick_client.post(f"/availability/time-off/{made.id}/delete")
    session.rollback()
    assert session.scalars(select(TimeOff)).all() == []


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Please choose a date."),
        (days(3, 2), "must not be before the first day"),
        (days(-9, -8), "Please choose a date from today"),
        (days(1, 2) | {"note": "x" * 201}, "up to 200 characters"),
        ({"first_day": "9999-12-31"}, "to 2200"),
        ({"first_day": "tomorrow"}, "Please choose a date."),
    ],
)
def test_bad_time_off_is_refused(rick_client: FlaskClient, session: Session, form, words) -> None:
    answer = rick_client.post("/availability/time-off", data=form)
    assert answer.status_code == 422
    assert words in answer.text
    assert session.scalars(select(TimeOff)).all() == []
