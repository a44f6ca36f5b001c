"""Which usernames there may be: a username is the first part of a public address."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from flask import request
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField, ValidationError
from wtforms.validators import DataRequired, Email, InputRequired, Length

from calapp.text import line

# First segments that are, were or may become addresses of the app; tests/test_reserved_names.py holds it
# against the addresses that exist.
_RESERVED = """
about account accounts admin api app apps assets auth availability billing blog booking bookings cal
calapp calendar contact dashboard demo-login developer docs embed event-types events favicon.ico
favicon feed feeds forgot-password health healthz help home hooks host hosts ics inbox index
insights integrations legal login logout mail mails metrics new null oauth privacy public
reset-password robots.txt root security settings setup signin signout signup static status support
system team teams terms undefined user users v1 v2 v3 webhook webhooks well-known workflows www
"""
RESERVED_NAMES = frozenset(_RESERVED.split())

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])")


def normal(username: str) -> str:
    """Return a username as it is kept: without space around it, in lower case, wide letters as plain ones."""
    return unicodedata.normalize("NFKC", username).strip().lower()


def complaint(username: str) -> str | None:
    """Return what is wrong with a (normal) username, or None."""
    if not _USERNAME.fullmatch(username):
        return "Please use 2 to 40 letters (a to z), digits, - and _, with a letter or digit at both ends."
    if username in RESERVED_NAMES:
        return "This name is needed for the app's own pages. Please choose another."
    return None


_REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


# Names that mean another zone on every machine, or none.
_NOT_ZONES = {"localtime", "posixrules", "Factory"}


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


@cache
def zone_names() -> tuple[str, ...]:
    """Return every zone's name in order, old ones included, since browsers still report them."""
    return tuple(sorted(_names()))


def is_zone(name: str) -> bool:
    """Return whether this is the name of a zone; old names such as US/Eastern count."""
    return name in _names()


def grouped(chosen: str = "") -> dict[str, list[str]]:
    """Return region → names for a select box, with `chosen` among them even when it is an old name."""
    groups: dict[str, list[str]] = {"UTC": ["UTC"]}
    for name in sorted(_names()):
        region = name.split("/")[0]
        if region in _REGIONS and "/" in name:
            groups.setdefault(region, []).append(name)
    if is_zone(chosen) and not any(chosen in names for names in groups.values()):
        groups["UTC"].append(chosen)
    return groups


MAX_PASSWORD = 200  # characters


@dataclass(frozen=True, kw_only=True)
class Login:
    """A sign-in."""

    username: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a host is called and reached, and in which zone their hours are."""

    name: str
    email: str
    time_zone: str


@dataclass(frozen=True, kw_only=True)
class SignUp(Profile):
    """A new user as they ask for it."""

    username: str
    password: str
    code: str


@dataclass(frozen=True, kw_only=True)
class PasswordChange:
    """A new password, with the current one as proof."""

    current_password: str
    new_password: str


def _stripped(text: str | None) -> str:
    return line(text or "")


def _zone(_form: FlaskForm, field: Any) -> None:
    untouched = field.data and field.data == field.object_data  # one that is no longer known stays as it is
    if not untouched and not is_zone(field.data):
        raise ValidationError("Please choose a time zone from the list.")


def _username(_form: FlaskForm, field: Any) -> None:
    if wrong := complaint(normal(field.data or "")):
        raise ValidationError(wrong)


def _name_field() -> StringField:
    return StringField(
        filters=[_stripped],
        validators=[
            DataRequired("Please give your name."),
            Length(max=100, message="Please use at most 100 characters."),
        ],
    )


def _email_field() -> StringField:
    return StringField(
        filters=[_stripped],
        validators=[
            DataRequired("Please give your email address."),
            Length(max=254, message="Please use at most 254 characters."),
            Email("Please give an email address such as name@example.com."),
        ],
    )


def _new_password_field() -> PasswordField:
    wish = "Please use 8 to 200 characters."
    return PasswordField(
        validators=[InputRequired("Please choose a password."), Length(min=8, max=MAX_PASSWORD, message=wish)]
    )


class PageForm(FlaskForm):
    """A form that is filled by a page only: JSON would bring numbers and lists where text is expected."""

    class Meta(FlaskForm.Meta):
        """How this form is read."""

        def wrap_formdata(self, form: Any, formdata: Any) -> Any:
            """Return the fields that were sent."""
            return request.form if request.is_json else super().wrap_formdata(form, formdata)


class LoginForm(PageForm):
    """The sign-in form."""

    username = StringField(validators=[DataRequired("Please give your username."), Length(max=200)])
    password = PasswordField(
        validators=[InputRequired("Please give your password."), Length(max=MAX_PASSWORD)]
    )

    def value(self) -> Login:
        """Return what was sent, once it is valid."""
        return Login(username=normal(self.username.data or ""), password=self.password.data or "")


class ProfileForm(PageForm):
    """Name, address and zone in the settings."""

    name = _name_field()
    email = _email_field()
    time_zone = StringField(validators=[_zone])

    def value(self) -> Profile:
        """Return what was sent, once it is valid."""
        return Profile(**_texts(self, "name", "email", "time_zone"))


class SignUpForm(PageForm):
    """The sign-up form; the code is compared by the service."""

    username = StringField(validators=[_username])
    name = _name_field()
    email = _email_field()
    password = _new_password_field()
    time_zone = StringField(validators=[_zone])
    code = StringField()

    def value(self) -> SignUp:
        """Return what was sent, once it is valid."""
        return SignUp(**_texts(self, "username", "name", "email", "password", "time_zone", "code"))


class PasswordForm(PageForm):
    """The current password and a new one."""

    current_password = PasswordField(
        validators=[InputRequired("Please enter your current password."), Length(max=MAX_PASSWORD)]
    )
    new_password = _new_password_field()

    def value(self) -> PasswordChange:
        """Return what was sent, once it is valid."""
        return PasswordChange(**_texts(self, "current_password", "new_password"))


def _texts(form: FlaskForm, *names: str) -> dict[str, str]:
    return {name: form[name].data or "" for name in names}
