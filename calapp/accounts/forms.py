"""What people say about themselves, checked, as frozen values."""

from dataclasses import dataclass
from typing import Any

from flask import request
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField, ValidationError
from wtforms.validators import DataRequired, Email, InputRequired, Length

from calapp.accounts.names import complaint, normal
from calapp.accounts.zones import is_zone
from calapp.text import line

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
    """A new password, with the present one as proof."""

    current_password: str
    new_password: str


def _stripped(text: str | None) -> str:
    return line(text or "")


def _zone(_form: FlaskForm, field: Any) -> None:
    if not is_zone(field.data):
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
    """The present password and a new one."""

    current_password = PasswordField(
        validators=[InputRequired("Please give your present password."), Length(max=MAX_PASSWORD)]
    )
    new_password = _new_password_field()

    def value(self) -> PasswordChange:
        """Return what was sent, once it is valid."""
        return PasswordChange(**_texts(self, "current_password", "new_password"))


def _texts(form: FlaskForm, *names: str) -> dict[str, str]:
    return {name: form[name].data or "" for name in names}
