"""What the forms of accounts bring, checked: a username is the first part of a public address."""

import re
import unicodedata
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

from calapp.accounts.models import Removal
from calapp.local_time import is_zone
from calapp.rest.schemas import cleaned, said
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
    if not username:
        return "Please choose a username."
    if not _USERNAME.fullmatch(username):
        return "Please use 2 to 40 letters (a to z), digits, - and _, with a letter or digit at both ends."
    if username in RESERVED_NAMES:
        return "This name is reserved. Please choose another."
    return None


def _email(value: str) -> str:
    try:
        validate_email(value, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError("Please enter an email address such as name@example.com.") from None
    return value


def _zone(value: str, info: ValidationInfo) -> str:
    """Check a zone; the host's own stays as it is, although it may no longer be known."""
    if not is_zone(value) and value != (info.context or {}).get("time_zone"):
        raise ValueError("Please choose a time zone from the list.")
    return value


def _new_password(value: str) -> str:
    if len(value) < 8:
        raise ValueError("Please use 8 to 200 characters." if value else "Please choose a password.")
    return value


MAX_PASSWORD = 200  # characters

Name = Annotated[
    str,
    Field(min_length=1, max_length=100),
    cleaned(line),
    said("Please enter your name.", "string_too_short"),
    said("Please use up to 100 characters.", "string_too_long"),
]
EmailAddress = Annotated[
    str,
    Field(min_length=1, max_length=254),
    AfterValidator(_email),
    cleaned(line),
    said("Please enter your email address.", "string_too_short"),
    said("Please use up to 254 characters.", "string_too_long"),
]
Zone = Annotated[str, AfterValidator(_zone)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD)]
NewPassword = Annotated[
    str,
    Field(max_length=MAX_PASSWORD),
    AfterValidator(_new_password),
    said("Please use 8 to 200 characters.", "string_too_long"),
]


class Login(BaseModel):
    """A sign-in."""

    username: Annotated[
        str,
        Field(min_length=1, max_length=200),
        cleaned(normal),
        said("Please enter your username.", "string_too_short"),
    ]
    password: Annotated[Password, said("Please enter your password.", "string_too_short")]


class Profile(BaseModel):
    """How a host is called and reached, and in which zone their hours are."""

    name: Name
    email: EmailAddress
    time_zone: Zone


class SignUp(Profile):
    """A new user as they ask for it; the code is compared by the service."""

    username: str
    password: NewPassword
    code: str = ""

    @field_validator("username")
    @classmethod
    def _is_free_of_faults(cls, username: str) -> str:
        if wrong := complaint(normal(username)):
            raise ValueError(wrong)
        return username


class ForgottenPassword(BaseModel):
    """Whose password was forgotten: a username or an email address."""

    username: Annotated[
        str,
        Field(min_length=1, max_length=254),
        cleaned(line),
        said("Please enter your username or email address.", "string_too_short"),
        said("Please use up to 254 characters.", "string_too_long"),
    ]


class PasswordReset(BaseModel):
    """A new password, with a link as proof."""

    new_password: NewPassword


class AccountDeletion(BaseModel):
    """The form that deletes an account."""

    password: Annotated[Password, said("Please enter your password.", "string_too_short")]
    bookings: Removal = Removal.CANCEL


class PasswordChange(BaseModel):
    """A new password, with the current one as proof."""

    current_password: Annotated[Password, said("Please enter your current password.", "string_too_short")]
    new_password: NewPassword
