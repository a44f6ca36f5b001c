"""API keys, the calendar token and the lock."""

import pytest
from sqlalchemy.orm import Session

from calapp.accounts import service
from calapp.accounts.models import ApiKey, User
from calapp.db import transaction
from calapp.errors import Invalid, NotFound
from calapp.local_time import grouped, is_zone, present_name


def make_key(user: User, *scopes: str) -> tuple[int, str]:
    with transaction() as session:
        key, plain = service.create_api_key(session, user, "n8n", scopes or ("read",))
        return key.id, plain


def test_a_key_is_found_by_its_text(session: Session, rick: User) -> None:
    number, plain = make_key(rick, "read", "write")
    found = service.find_api_key(session, plain)
    assert plain.startswith("cal_")
    assert found is not None
    assert (found.id, found.scopes) == (number, ["read", "write"])


def test_the_text_of_a_key_is_not_kept(session: Session, rick: User) -> None:
    number, plain = make_key(rick)
    kept = session.get_one(ApiKey, number)
    assert plain not in (kept.key_hash, kept.hint, kept.name)
    assert plain.startswith(kept.hint)


def test_a_revoked_key_opens_nothing(session: Session, rick: User) -> None:
    number, plain = make_key(rick)
    with transaction() as writing:
        service.revoke_api_key(writing, rick.id, number)
    assert service.find_api_key(session, plain) is None
    assert service.api_keys(session, rick.id) == []


def test_a_stranger_cannot_revoke_a_key(session: Session, rick: User, bob: User) -> None:
    number, plain = make_key(rick)
    with transaction() as writing, pytest.raises(NotFound):
        service.revoke_api_key(writing, bob.id, number)
    assert service.find_api_key(session, plain) is not None


def test_a_made_up_key_opens_nothing(session: Session, rick: User) -> None:
    make_key(rick)
    assert service.find_api_key(session, "cal_é\0") is None


def test_a_key_can_do_only_what_there_is(rick: User) -> None:
    with pytest.raises(ValueError, match="everything"):
        make_key(rick, "everything")


def test_a_new_calendar_address_replaces_the_old_one(rick: User) -> None:
    old = rick.calendar_token
    with transaction() as session:
        new = service.renew_calendar_token(session, rick.id)
    assert new not in ("", old)


def test_the_lock_reads_the_row_as_it_stands(session: Session, rick: User) -> None:
    with transaction() as writing:
        writing.connection().exec_driver_sql('UPDATE "user" SET last_event_number = 41')
        assert service.lock_user(writing, rick.id).last_event_number == 41


def test_the_lock_of_nobody_is_not_found(rick: User) -> None:
    with transaction() as session, pytest.raises(NotFound):
        service.lock_user(session, rick.id + 1)


def test_two_people_cannot_have_one_name(rick: User) -> None:
    with pytest.raises(Invalid) as caught, transaction() as session:
        service.create_user(
            session, username="Rick", password="x", name="R", email="r@example.com", time_zone="UTC"
        )
    assert "taken" in str(caught.value.details["username"])


def test_newcomers_get_what_the_other_packages_give(rick: User, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(service, "newcomer_gifts", [lambda _session, user: given.append(user.username)])
    with transaction() as session:
        service.create_user(
            session, username="ada", password="x", name="A", email="a@example.com", time_zone="UTC"
        )
    assert given == ["ada"]


def test_zones_are_offered_by_region_under_their_present_names() -> None:
    assert "Europe/Berlin" in grouped()["Europe"]
    assert "Asia/Kolkata" in grouped()["Asia"]
    assert "Asia/Calcutta" not in grouped()["Asia"]
    assert present_name("US/Eastern") == "America/New_York"
    assert grouped("Etc/UTC")["UTC"] == ["UTC", "Etc/UTC"]
    assert grouped("Mars/Base") == grouped()
    assert is_zone("US/Eastern")
