"""What the forms of accounts bring, checked."""

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

from calapp.accounts.models import Removal
from calapp.accounts.usernames import complaint, normal
from calapp.local_time import is_zone
from calapp.rest.schemas import cleaned, said
from calapp.text import line


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
