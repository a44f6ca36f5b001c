"""Limits on sign-ins, with and without Valkey."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from app import create_app
from calapp import broker, rate_limits
from calapp.accounts.models import User
from calapp.config import Settings


def tries(browser: FlaskClient, count: int, name: str = "rick", address: str = "192.0.2.1") -> list[int]:
    data = {"username": name, "password": "wrong"}
    return [
        browser.post("/login", data=data, environ_base={"REMOTE_ADDR": address}).status_code
        for _ in range(count)
    ]


def test_ten_sign_ins_a_minute_from_one_address(client: FlaskClient, rick: User) -> None:
    for number in range(10):
        tries(client, 1, name=f"name-{number}")
    answer = client.post("/login", data={"username": "x"}, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) in range(1, 61)
    assert tries(client, 1, name="other", address="192.0.2.2") == [422]


def test_ten_sign_ins_a_minute_for_one_name(client: FlaskClient, rick: User) -> None:
    for number in range(10):
        tries(client, 1, name="Rick", address=f"192.0.2.{number + 10}")
    assert tries(client, 1, name=" rick", address="192.0.2.99") == [429]
    assert tries(client, 1, name="bob", address="192.0.2.99") == [422]


def test_looking_at_the_sign_in_is_not_limited(client: FlaskClient) -> None:
    assert {client.get("/login").status_code for _ in range(15)} == {200}


def test_the_limits_can_be_switched_off(settings: Settings, client: FlaskClient, rick: User) -> None:
    open_app = create_app(replace(settings, rate_limits="off"))
    open_app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    assert set(tries(open_app.test_client(), 12)) == {422}


@pytest.fixture
def valkey(settings: Settings) -> Iterator[broker.EmbeddedValkey]:
    server = broker.EmbeddedValkey(settings.data_dir)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def with_valkey(
    valkey: broker.EmbeddedValkey, settings: Settings, client: FlaskClient
) -> Callable[[], FlaskClient]:
    def browser() -> FlaskClient:
        app = create_app(settings)
        app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
        rate_limits.limiter._storage_dead = False
        return app.test_client()

    return browser


def test_two_web_processes_count_together(with_valkey: Callable[[], FlaskClient], rick: User) -> None:
    assert 429 not in tries(with_valkey(), 10)
    assert tries(with_valkey(), 1) == [429]


def test_a_valkey_that_is_away_turns_nobody_away(
    with_valkey: Callable[[], FlaskClient], valkey: broker.EmbeddedValkey, rick: User
) -> None:
    browser = with_valkey()
    tries(browser, 5)
    valkey.stop()
    assert set(tries(browser, 5)) == {422}


def test_a_valkey_that_hangs_slows_nobody_down(
    with_valkey: Callable[[], FlaskClient], valkey: broker.EmbeddedValkey, rick: User
) -> None:
    browser = with_valkey()
    tries(browser, 1)
    assert valkey.server is not None
    valkey.server.send_signal(19)  # SIGSTOP
    began = time.monotonic()
    assert set(tries(browser, 5)) == {422}
    valkey.server.send_signal(18)  # SIGCONT
    assert time.monotonic() - began < 2.0
