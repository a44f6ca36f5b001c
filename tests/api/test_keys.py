"""Who may use the API: keys, their scopes, their limits."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import create_app
from calapp import incoming
from calapp.accounts import service
from calapp.accounts.models import ApiKey, User
from calapp.clock import now
from calapp.config import Settings
from calapp.db import transaction
from calapp.rest import routes
from tests.api.conftest import Client, KeyMaker, message
from tests.conftest import signed_in


def test_a_key_says_whose_it_is(rick_api: Client, rick: User) -> None:
    assert rick_api.data("/v2/me") == {
        "id": rick.id,
        "username": "rick",
        "email": "rick@example.com",
        "name": "Rick",
        "timeZone": "Europe/Berlin",
        "timeFormat": 24,
        "weekStart": "Monday",
        "defaultScheduleId": rick.default_schedule_id,
        "locale": "en",
        "avatarUrl": None,
        "bio": None,
        "organizationId": None,
    }


def test_without_a_key_the_client_is_told_how_to_send_one(anyone: Client) -> None:
    answer = anyone.get("/v2/me")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer cal_" in message(answer)


@pytest.mark.parametrize(
    "header", ["Bearer cal_wrong", "Bearer", "Bearer ", "Basic cmljazpkZW1v", "cal_x", "Bearer é"]
)
def test_what_is_no_key_opens_nothing(anyone: Client, rick_api: Client, header: str) -> None:
    answer = anyone.get("/v2/me", headers={"Authorization": header})
    assert answer.status_code == 401
    assert "does not exist or was revoked" in message(answer)


def test_a_revoked_key_is_told_so(rick_api: Client, rick: User, session: Session) -> None:
    number = session.scalar(select(ApiKey.id))
    with transaction() as writing:
        service.revoke_api_key(writing, rick.id, number)
    answer = rick_api.get("/v2/me")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "unauthorized")


def test_a_key_without_the_scope_is_told_which_it_lacks(with_key: KeyMaker, rick: User) -> None:
    answer = with_key(rick, "write").get("/v2/me")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "forbidden")
    assert "missing the scope read" in message(answer)


def test_who_is_signed_in_still_needs_a_key(app: Flask, rick: User) -> None:
    assert signed_in(app, rick).get("/v2/me").status_code == 401


def test_the_word_bearer_may_be_written_in_any_case(anyone: Client, rick_api: Client) -> None:
    header = {"Authorization": f"bearer  {rick_api.key}"}
    assert anyone.get("/v2/me", headers=header).status_code == 200


def test_a_version_header_is_accepted(rick_api: Client) -> None:
    assert rick_api.get("/v2/me", headers={"cal-api-version": "2024-08-13"}).status_code == 200


def test_a_slash_at_the_end_is_accepted(rick_api: Client) -> None:
    assert rick_api.get("/v2/me/").status_code == 200


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(rick_api: Client, session: Session) -> None:
    noted = []
    with time_machine.travel(now(), tick=False) as clock:
        for seconds in (0, 59, 2):
            clock.shift(timedelta(seconds=seconds))
            rick_api.get("/v2/me")
            noted.append(session.scalar(select(ApiKey.last_used_at)))
    assert noted[1] == noted[0]
    assert noted[2] == noted[0] + timedelta(seconds=61)


@pytest.fixture
def few(app: Flask, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Callable[[], Flask]:
    """Return a function that makes an app whose keys may do little."""
    monkeypatch.setattr(routes, "BY_KEY", "3/minute")
    monkeypatch.setattr(routes, "BY_ADDRESS", "5/minute")
    return lambda: create_app(settings)


def test_a_key_has_so_many_requests_a_minute(few: Callable[[], Flask], rick_api: Client) -> None:
    client = Client(few(), rick_api.key)
    answers = [client.get("/v2/me") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60


def test_guessing_keys_is_limited_by_the_address(few: Callable[[], Flask]) -> None:
    app = few()
    statuses = [Client(app, f"cal_{number}").get("/v2/me").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]


def test_the_limits_can_be_switched_off(
    few: Callable[[], Flask], settings: Settings, rick_api: Client
) -> None:
    client = Client(create_app(replace(settings, rate_limits="off")), rick_api.key)
    assert {client.get("/v2/me").status_code for _ in range(8)} == {200}


def test_k5_a_made_up_key_brings_no_counter_of_its_own(
    few: Callable[[], Flask], rick_api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, counted = few(), []
    hit = incoming.limiter.limiter.hit
    monkeypatch.setattr(
        incoming.limiter.limiter,
        "hit",
        lambda *given, **more: counted.append(given[1:]) or hit(*given, **more),
    )
    for number in range(3):
        Client(app, f"cal_{number}").get("/v2/me")
    assert len(set(counted)) == 1
    assert Client(app, rick_api.key).get("/v2/me").status_code == 200
    assert len(set(counted)) == 2
