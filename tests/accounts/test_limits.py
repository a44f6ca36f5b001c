"""Limits on sign-ins, with and without Valkey."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from calapp import incoming
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.embedded_valkey import EmbeddedValkey
from tests.conftest import PASSWORD, PASSWORD_HASH

FROM = {"REMOTE_ADDR": "192.0.2.1"}


@pytest.fixture(autouse=True)
def quick_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give names of nobody the quick hash of the tests' hosts; test_sign_in.py has the real one."""
    monkeypatch.setattr("calapp.accounts.service._nobodys_hash", lambda: PASSWORD_HASH)


def tries(browser: FlaskClient, count: int, name: str = "rick", address: str = "192.0.2.1") -> list[int]:
    data = {"username": name, "password": "wrong"}
    return [
        browser.post("/login", data=data, environ_base={"REMOTE_ADDR": address}).status_code
        for _ in range(count)
    ]


def right(browser: FlaskClient, address: str, name: str = "rick") -> TestResponse:
    data = {"username": name, "password": PASSWORD}
    return browser.post("/login", data=data, environ_base={"REMOTE_ADDR": address})


def test_k5_ten_failures_a_minute_for_a_name_and_an_address(client: FlaskClient, rick: User, clock) -> None:
    assert tries(client, 11) == [422] * 10 + [429]
    answer = client.post("/login", data={"username": " \uff32ICK", "password": "wrong"}, environ_base=FROM)
    assert answer.status_code == 429
    assert "Please try again in" in answer.text
    assert int(answer.headers["Retry-After"]) in range(1, 62)
    assert tries(client, 1, name="other") == [422]
    clock.shift(62)
    assert tries(client, 1) == [422]


def test_k5_failures_elsewhere_delay_a_host_by_a_minute_at_most(
    client: FlaskClient, rick: User, clock
) -> None:
    tries(client, 10)
    answer = right(client, "192.0.2.2")
    assert answer.status_code == 302 or int(answer.headers["Retry-After"]) <= 61
    clock.shift(61)
    assert right(client, "192.0.2.2").status_code < 400


@pytest.mark.parametrize("name", ["rick", "nobody"])
def test_k5_the_delay_of_a_name_doubles_whether_or_not_it_is_known(
    client: FlaskClient, rick: User, clock, name: str
) -> None:
    tries(client, 1, name=name)
    for number, delay in enumerate((1, 2, 4, 8, 16, 32, 60, 60)):
        address = f"198.51.100.{number}"
        if delay > 4:  # shorter ones may have passed on a busy machine
            clock.shift(delay / 2 - 0.3)
            assert tries(client, 1, name=name, address=address) == [429]
        clock.shift(delay + 1)
        assert tries(client, 1, name=name, address=address) == [422]


def test_k5_a_browser_that_signed_in_before_is_never_held_up(
    app: Flask, client: FlaskClient, rick: User
) -> None:
    assert right(client, "192.0.2.1").status_code < 400
    client.post("/logout")
    tries(app.test_client(), 11)
    tries(app.test_client(), 1, address="192.0.2.7")
    assert right(client, "192.0.2.1").status_code < 400


def test_k5_what_is_right_is_not_counted(app: Flask, rick: User) -> None:
    assert {right(app.test_client(), "192.0.2.1").status_code < 400 for _ in range(15)} == {True}


def test_k5_the_current_password_is_guessed_ten_times_a_minute(rick_client: FlaskClient) -> None:
    data = {"current_password": "wrong", "new_password": "something else"}
    answers = [rick_client.post("/settings/password", data=data).status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]


def test_k5_an_address_gets_a_hundred_failures_an_hour_over_all_names(
    app: Flask, client: FlaskClient, rick: User, clock
) -> None:
    known = app.test_client()
    assert right(known, "2001:db8::1").status_code < 400
    places = [f"2001:db8::{number}" for number in range(1, 103)]
    answers = [tries(client, 1, f"name{number}", place)[0] for number, place in enumerate(places)]
    assert answers == [422] * 100 + [429] * 2
    answer = right(client, "2001:db8::ffff")
    assert answer.status_code == 429
    assert "minutes" in answer.text
    assert right(client, "2001:db8:0:1::1").status_code < 400  # another network
    assert right(known, "2001:db8::1").status_code < 400  # a browser that signed in before
    clock.shift(3601)
    assert right(app.test_client(), "2001:db8::ffff").status_code < 400


def test_looking_at_the_sign_in_is_not_limited(client: FlaskClient) -> None:
    assert {client.get("/login").status_code for _ in range(15)} == {200}


def test_the_limits_can_be_switched_off(settings: Settings, client: FlaskClient, rick: User) -> None:
    open_app = create_app(replace(settings, rate_limits="off"))
    open_app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    assert set(tries(open_app.test_client(), 12)) == {422}


@pytest.fixture
def valkey(settings: Settings) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(settings.data_dir)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def with_valkey(valkey: EmbeddedValkey, settings: Settings, client: FlaskClient) -> Callable[[], FlaskClient]:
    def browser() -> FlaskClient:
        app = create_app(settings)
        app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
        incoming.limiter._storage_dead = False
        return app.test_client()

    return browser


def test_two_web_processes_count_together(with_valkey: Callable[[], FlaskClient], rick: User) -> None:
    assert 429 not in tries(with_valkey(), 10)
    assert tries(with_valkey(), 1) == [429]


def test_a_valkey_that_is_away_turns_nobody_away(
    with_valkey: Callable[[], FlaskClient], valkey: EmbeddedValkey, rick: User
) -> None:
    browser = with_valkey()
    tries(browser, 5)
    valkey.stop()
    assert set(tries(browser, 5)) == {422}


def test_a_valkey_that_hangs_slows_nobody_down(
    with_valkey: Callable[[], FlaskClient], valkey: EmbeddedValkey, rick: User
) -> None:
    browser = with_valkey()
    tries(browser, 1)
    assert valkey.server is not None
    valkey.server.send_signal(19)  # SIGSTOP
    began = time.monotonic()
    assert set(tries(browser, 5)) == {422}
    valkey.server.send_signal(18)  # SIGCONT
    assert time.monotonic() - began < 6  # redis-py would take three seconds for each
