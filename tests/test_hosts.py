"""Which names the server answers to."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from app import create_app
from calapp.config import Settings
from calapp.db import db

LOCAL = (
    "localhost",
    "LOCALHOST:5000",
    "localhost.",
    "cal.localhost:80",
    "127.0.0.1:5000",
    "127.8.9.1",
    "[::1]:5000",
)
OTHERS = (
    "evil.example",
    "evil.example:5000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example,localhost",
    "localhost@evil.example",
    "evil.example/localhost",
    "0.0.0.0:5000",
    "192.168.1.5",
    "[::2]",
    "[localhost]",
    "localhost:5000:1",
    "",
    "é.example",
)


@pytest.fixture
def ask(app: Flask, settings: Settings) -> Callable[..., int]:
    """Return a function that asks a server with these settings for a page and returns the status."""

    def get(named: str, path: str = "/login", headers: dict[str, str] | None = None, **more: object) -> int:
        served = create_app(replace(settings, **more))
        answer = served.test_client().get(path, headers=headers, environ_overrides={"HTTP_HOST": named})
        assert answer.status_code != 400 or "BASE_URL" in answer.text
        with served.app_context():
            db.session.remove()
            db.engine.dispose()
        return answer.status_code

    return get


@pytest.mark.parametrize("host", LOCAL)
def test_k3_loopback_is_answered_while_nobody_else_reaches_the_server(
    ask: Callable[..., int], host: str
) -> None:
    assert ask(host) == 200
    assert ask(host, base_url="https://cal.example.com") == 400
    assert ask(host, base_url="http://localhost:5000", host="0.0.0.0") == 200


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize("path", ["/login", "/rick", "/static/app.css", "/nowhere", "/v2/me"])
def test_k3_other_names_are_refused_on_every_address(ask: Callable[..., int], host: str, path: str) -> None:
    assert ask(host, path) == 400


@pytest.mark.parametrize("host", ["cal.example.com", "CAL.example.com.", "cal.example.com:443"])
def test_k3_the_name_of_base_url_is_answered_however_it_is_written(
    ask: Callable[..., int], host: str
) -> None:
    assert ask(host, base_url="https://Cal.Example.com", host="0.0.0.0") == 200


@pytest.mark.parametrize(
    ("base_url", "host"),
    [("https://zoë.example", "xn--zo-ija.example"), ("http://[2001:DB8:0::1]:5000", "[2001:db8::1]:5000")],
)
def test_k3_names_and_addresses_are_compared_by_what_they_mean(
    ask: Callable[..., int], base_url: str, host: str
) -> None:
    assert ask(host, base_url=base_url) == 200


def test_k3_a_forwarded_host_is_never_asked(ask: Callable[..., int]) -> None:
    forwarded = {"X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    assert ask("evil.example", headers=forwarded, trusted_proxies=1) == 400
    assert ask("localhost", headers={"X-Forwarded-Host": "evil.example"}, trusted_proxies=1) == 200


def test_k3_health_and_metrics_are_apart(ask: Callable[..., int]) -> None:
    assert ask("10.0.0.7:5000", "/healthz", base_url="https://cal.example.com") in {200, 503}
    assert ask("10.0.0.7:5000", "/metrics", base_url="https://cal.example.com") == 404
