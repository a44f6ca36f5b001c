"""No username may stand where the app has a page."""

import pytest
from flask import Flask

from calapp.accounts.usernames import RESERVED_NAMES, complaint
from calapp.event_types.service import RESERVED_SLUGS


def first_segments(app: Flask) -> set[str]:
    """The fixed first segment of every address."""
    firsts = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
    return {first for first in firsts if first and "<" not in first}


def test_every_page_of_the_app_has_a_reserved_name(app: Flask) -> None:
    assert first_segments(app) - RESERVED_NAMES == set()


def test_every_page_below_a_hosts_has_a_reserved_slug(app: Flask) -> None:
    rules = [rule.rule.split("/") for rule in app.url_map.iter_rules()]
    seconds = {parts[2] for parts in rules if len(parts) == 3 and parts[1] == "<user>"}
    assert {second for second in seconds if "<" not in second} == RESERVED_SLUGS


def test_the_addresses_that_browsers_and_robots_ask_for_are_reserved() -> None:
    assert {"favicon.ico", "robots.txt", "static", "api", "v1", "v2", "admin"} <= RESERVED_NAMES


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_reserved_name_is_no_username(name: str) -> None:
    assert complaint(name) is not None


@pytest.mark.parametrize("name", ["ab", "a1", "rick", "ada-lovelace", "a_b", "0day", "x" * 40])
def test_plain_names_are_usernames(name: str) -> None:
    assert complaint(name) is None


@pytest.mark.parametrize(
    "name", ["", "a", "-a", "a-", "_a", "a_", "a.b", "a/b", "a b", "A", "é", "x" * 41, "a\n"]
)
def test_other_names_are_not(name: str) -> None:
    assert complaint(name) is not None
