"""Settings: what can be read, and the sentence when it cannot."""

from pathlib import Path

import pytest

from calapp import config
from calapp.config import BadSetting

UNREADABLE = {
    "PORT": (("abc", "70000", "-1", "5 000", "\u0665"), "Allowed: a whole number from 1 to 65535."),
    "WEBHOOK_TIMEOUT": (("soon", "nan", "0", "9999"), "Allowed: a number of seconds from 0.1 to 600."),
    "WEBHOOK_RETRY_SCHEDULE": (
        ("5,x", "-5", "1.5", ",".join(["1"] * 51)),
        "Allowed: at most 50 comma-separated whole seconds, each at most 30 days.",
    ),
    "WEBHOOK_ALLOWED_NETWORKS": (("10.0.0.1/8", "home"), "Allowed: comma-separated networks such as"),
    "BASE_URL": (("cal.example.com", "http://[", "https://x/?a=b"), "Allowed: an address such as"),
    "DATABASE_URL": (("mysql://x", "[", "nothing"), "Allowed: an address that begins with sqlite:// or"),
    "RATE_LIMITS": (("maybe", ""), "Allowed: one of on, off."),
    "SIGNUP": (("maybe",), "Allowed: one of open, first, closed."),
    "WORKER_PROCESSES": (("many", "65"), "Allowed: a whole number from 0 to 64."),
    "WEBHOOK_CONCURRENCY": (("70000",), "Allowed: a whole number from 1 to 4096."),
}
CASES = [(name, text, words) for name, (texts, words) in UNREADABLE.items() for text in texts]


@pytest.mark.parametrize(("name", "text", "words"), CASES)
def test_an_unreadable_setting_is_one_plain_sentence(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSetting) as caught:
        config.prepare({name: text}, data_dir=tmp_path)
    assert caught.value.message.startswith(f"The setting {name} cannot be read: {text!r}. {words}")


def test_a_variable_set_to_nothing_is_set(tmp_path: Path) -> None:
    settings = config.prepare(
        {"WEBHOOK_RETRY_SCHEDULE": "", "WEBHOOK_ALLOWED_NETWORKS": ""}, data_dir=tmp_path
    )
    assert (settings.webhook_retry_schedule, settings.webhook_allowed_networks) == ((), ())


def test_the_base_url_may_be_an_ipv6_address(tmp_path: Path) -> None:
    assert (
        config.prepare({"BASE_URL": "http://[::1]:5000/"}, data_dir=tmp_path).base_url == "http://[::1]:5000"
    )


@pytest.mark.parametrize(
    ("url", "password", "whole"),
    [
        ("redis://queue:6379", "a@b:/#c", "redis://:a%40b%3A%2F%23c@queue:6379"),
        ("rediss://me@queue:6379/1", "secret", "rediss://me:secret@queue:6379/1"),
        ("redis://:old@[::1]:6379", "new", "redis://:new@[::1]:6379"),
        ("unix:///run/valkey.sock?db=1", "a&b", "unix:///run/valkey.sock?db=1&password=a%26b"),
        ("redis://:old@queue:6379", "", "redis://:old@queue:6379"),
    ],
)
def test_a_password_of_redis_may_have_any_character(
    url: str, password: str, whole: str, tmp_path: Path
) -> None:
    chosen = config.prepare({"REDIS_URL": url, "REDIS_PASSWORD": password}, data_dir=tmp_path)
    assert chosen.redis_url == whole
