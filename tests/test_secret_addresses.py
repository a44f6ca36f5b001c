"""Addresses that hold a secret are kept out of search engines, caches and other sites' logs."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from calapp.accounts.models import User


@pytest.mark.parametrize(
    "path", ["/booking/abc", "/booking/abc.ics", "/booking/abc/cancel", "/booking/abc/reschedule", "/v2/me"]
)
def test_k9_an_address_with_a_secret_is_neither_indexed_nor_stored(app: Flask, path: str) -> None:
    answer = app.test_client().get(path)
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "same-origin" or path.startswith("/v2")


def test_k9_the_calendar_feed_is_asked_for_again_and_not_sent_twice(client: FlaskClient, rick: User) -> None:
    feed = client.get(f"/calendar/{rick.calendar_token}.ics")
    assert feed.headers["Cache-Control"] == "private, no-cache"
    assert feed.headers["X-Robots-Tag"] == "noindex"
    again = client.get(
        f"/calendar/{rick.calendar_token}.ics", headers={"If-None-Match": feed.headers["ETag"]}
    )
    assert (again.status_code, again.data) == (304, b"")


def test_k9_public_pages_may_be_found(client: FlaskClient, rick: User) -> None:
    assert "X-Robots-Tag" not in client.get("/rick").headers
