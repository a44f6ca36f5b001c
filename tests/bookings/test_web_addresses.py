"""A name with a web address in it is refused; names of people are not."""

# ruff: noqa: RUF001 (letters that look like others are what this is about)

import time

import pytest

from calapp.bookings.visitors import has_web_address

ADDRESSES = [
    "http://evil.example",
    "HTTPS://EVIL.EXAMPLE/x",
    "www.evil.example",
    "evil.example/x",
    "Win at evil.com now",
    "(evil.com)",
    "evil.com:8080",
    "evil.whatever?x=1",
    "evil。com",
    "ｅｖｉｌ．ｃｏｍ／x",
    "ｈｔｔｐ：∕∕evil",
    "ev\u200bil.co\u200bm",
    "evil․com",
    "x.com",
    "192.0.2.1",
    "192.0.2.1:80/x",
    "xn--e1afmkfd.xn--p1ai",
    "пример.рф",
    "ada@evil.example/x",
]
NAMES = [
    "Ada Byron",
    "J. R. Smith",
    "J.R.Smith",
    "Dr.No",
    "Dr. No",
    "St.John",
    "Mr.Co",
    "Wei.Li",
    "J.Lo",
    "Martin L. King Jr.",
    "Jean-Luc Picard, Ph.D.",
    "Ada / Bob",
    "24/7 Ada",
    "Gal·la Placídia",
    "アリ・ババ",
    "ada@example.com",
    "Müller GmbH & Co. KG",
]


@pytest.mark.parametrize("name", ADDRESSES)
def test_v1_a_name_with_a_web_address_is_found(name: str) -> None:
    assert has_web_address(name)


@pytest.mark.parametrize("name", NAMES)
def test_v1_a_persons_name_is_left_in_peace(name: str) -> None:
    assert not has_web_address(name)


@pytest.mark.parametrize("piece", ["a.", ".", "www.", "-.", "a", "@"])
def test_v1_a_long_name_costs_no_time(piece: str) -> None:
    began = time.thread_time()
    has_web_address((piece * 200)[:200])
    assert time.thread_time() - began < 0.05
