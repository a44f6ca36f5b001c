"""Clients of the API whose every answer must fit the document."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from calapp.accounts.models import User
from calapp.accounts.service import create_api_key
from calapp.db import transaction
from tests.api import contract
from tests.bookings.conftest import MONDAY


@dataclass
class Client:
    """A client with a key, or without one."""

    app: Flask
    key: str = ""
    browser: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.browser = self.app.test_client()

    def send(self, method: str, path: str, **more: Any) -> TestResponse:
        """Send a request; the answer fits the document."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= more.pop("headers", {})
        answer = self.browser.open(path, method=method, headers=headers, **more)
        contract.check(contract.of_app(self.app), method, path, answer.status_code, answer.get_json())
        return answer

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.send("GET", path, **more)

    def post(self, path: str, json: object = None, **more: Any) -> TestResponse:
        return self.send("POST", path, **({"json": json} if json is not None else {}), **more)

    def patch(self, path: str, json: object) -> TestResponse:
        return self.send("PATCH", path, json=json)

    def delete(self, path: str) -> TestResponse:
        return self.send("DELETE", path)

    def data(self, path: str) -> Any:
        """Return what an address answers with success."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.get_json()["data"]


def message(answer: TestResponse) -> str:
    return answer.get_json()["error"]["message"]


def details(answer: TestResponse) -> dict[str, str]:
    return answer.get_json()["error"]["details"]


KeyMaker = Callable[..., Client]


@pytest.fixture
def with_key(app: Flask) -> KeyMaker:
    """Return a function that makes a key for a user and gives its client."""

    def make(user: User, *scopes: str) -> Client:
        with transaction() as session:
            _, plain = create_api_key(session, user, "test", scopes or ("read", "write"))
        return Client(app, plain)

    return make


@pytest.fixture
def rick_api(with_key: KeyMaker, rick: User) -> Client:
    """Rick's client, which may read and write."""
    return with_key(rick)


@pytest.fixture
def bob_api(with_key: KeyMaker, bob: User) -> Client:
    """The client of a stranger to Rick."""
    return with_key(bob)


@pytest.fixture
def monday() -> Iterator[time_machine.Traveller]:
    """Monday, 4 January 2027, 8:00 in Berlin."""
    with time_machine.travel(MONDAY, tick=False) as clock:
        yield clock


@pytest.fixture
def anyone(app: Flask) -> Client:
    """A client without a key."""
    return Client(app)
