"""Pages that give back what was typed stay small, whatever it was."""

import pytest
from flask.testing import FlaskClient

QUOTES = '"' * 250_000
LARGEST = 512 * 1024


@pytest.mark.parametrize("name", ["username", "password", "next"])
def test_v2_the_sign_in_stays_small_when_sent_quotes(client: FlaskClient, rick, name: str) -> None:
    data = {"username": "rick", "password": "wrong", name: ("/" if name == "next" else "") + QUOTES}
    answer = client.post("/login", data=data, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert len(answer.data) < LARGEST


@pytest.mark.parametrize(
    "name", ["name", "username", "email", "password", "time_zone", "code", "next", "all"]
)
def test_v2_the_sign_up_stays_small_when_sent_quotes(client: FlaskClient, name: str) -> None:
    fields = ("name", "username", "email", "time_zone", "code") if name == "all" else (name,)
    data = {field: ("/" if field == "next" else "") + QUOTES[: 250_000 // len(fields)] for field in fields}
    answer = client.post("/signup", data=data, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert len(answer.data) < LARGEST


def test_v2_the_question_before_a_cancellation_stays_small(
    client: FlaskClient, rick, quick_chat, book
) -> None:
    address = f"/booking/{book().uid}/cancel"
    answer = client.post(address, data={"reason": QUOTES}, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert len(answer.data) < LARGEST
    long = client.post(address, data={"reason": "Zug " * 2000})
    assert long.text.count("Zug ") == 2000  # what fits comes back whole
