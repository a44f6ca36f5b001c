"""Signing up, signing in and out, and a host's own settings."""

from collections.abc import Mapping

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask import session as cookies
from flask_login import current_user, login_user, logout_user
from flask_wtf.csrf import generate_csrf
from pydantic import BaseModel
from werkzeug.wrappers import Response as AnyResponse

from calapp import limits
from calapp.accounts import guesses, links, service, unsaved
from calapp.accounts.guards import current_host, local_path, login_id
from calapp.accounts.models import LinkPurpose, User
from calapp.accounts.schemas import (
    AccountDeletion,
    ForgottenPassword,
    Login,
    PasswordChange,
    PasswordReset,
    Profile,
    SignUp,
)
from calapp.config import settings as app_settings
from calapp.db import db, transaction
from calapp.errors import Gone, Invalid, NotAllowed, TooMany
from calapp.htmx import is_htmx, redirect_to, trigger
from calapp.incoming import limiter
from calapp.local_time import grouped, present_name, zone_note
from calapp.rest.schemas import from_form

blueprint = Blueprint("accounts", __name__)

HOME = "/bookings/upcoming"
FIRST_STEPS = "/integrations/first-steps"  # where a newcomer goes on, a page of integrations
SIGN_INS = "10/minute"
NOT_KEPT = "There is nothing left to send: it was sent, discarded, or is older than ten minutes."
Page = AnyResponse | str | tuple[str, int]


@blueprint.get("/")
def start() -> AnyResponse:
    """Lead to the bookings, or to the sign-in."""
    return redirect(HOME if current_user.is_authenticated else url_for("accounts.login"))


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> Page:
    """Sign in."""
    if request.method == "GET" and current_user.is_authenticated:
        page = local_path(request.values.get("next"), HOME)
        return _in_place(current_host()) if is_htmx() else redirect(page)
    if request.method == "GET":
        return _login_page()
    session = db.session()
    try:
        wanted = from_form(Login, _typed(Login))
        host = service.find_user(session, wanted.username)
        known, host_id = guesses.known_browser(host), host.id if host else None
        with guesses.guess("sign-in", wanted.username, known=known, host=host_id):
            user = service.authenticate(session, wanted.username, wanted.password)
    except Invalid as error:
        return _login_page("" if error.details else error.message, error.details), 422
    except TooMany as error:
        response = make_response(_login_page(error.message), 429)
        response.headers["Retry-After"] = str(error.retry_after)
        return response
    return _signed_in(user)


@blueprint.route("/signup", methods=["GET", "POST"])
@limiter.limit(SIGN_INS, methods=["POST"])
def signup() -> Page:
    """Make an account, while the setting SIGNUP allows it."""
    if not service.signup_open(db.session()):
        raise NotAllowed("Sign-up is closed on this server.")
    if request.method == "GET":
        return _signup_page({})
    try:
        wanted = from_form(SignUp, _typed(SignUp))
        with guesses.guess("sign-up code", "", field="code"), transaction() as session:
            user = service.sign_up(session, wanted)
            links.begin(session, user)
    except Invalid as error:
        return _signup_page(error.details), 422
    return _signed_in(user, FIRST_STEPS)


@blueprint.route("/login/unsaved", methods=["GET", "POST"])
def unsaved_form() -> Page:
    """Show what was typed when the session had ended, and send it to where it was to go."""
    host = current_host()
    if request.method == "POST":
        with transaction() as session:
            path = unsaved.take(session, host.id)
        # By 307 the browser sends the fields, now with this session's token, once more.
        return redirect(path, 307) if path else redirect_to(HOME, NOT_KEPT, "bad")
    form = unsaved.read(db.session(), host.id)
    if form is None:
        return redirect_to(HOME, NOT_KEPT, "bad")
    return render_template("accounts/unsaved.html", form=form)


@blueprint.post("/login/unsaved/discard")
def discard_unsaved() -> Response:
    """Forget what was typed, and go on where it was."""
    host = current_host()
    form = unsaved.read(db.session(), host.id)
    with transaction() as session:
        unsaved.discard(session, host.id)
    return redirect_to(local_path(form.page if form else "", HOME), "Discarded.")


@blueprint.post("/logout")
def logout() -> Response:
    """Sign out of this browser; the server forgets its session, so that a copied cookie is worth nothing."""
    with transaction() as session:
        service.end_session(session, login_id())
    return _signed_out()


@blueprint.post("/settings/sessions/<int:session_id>/end")
def end_session(session_id: int) -> Response:
    """Sign out of one other browser."""
    with transaction() as session:
        service.end_one_session(session, current_host().id, session_id)
    if session_id == service.session_id_in(login_id()):
        return _signed_out()
    return redirect_to(url_for("accounts.settings"), "Signed out that browser.")


@blueprint.post("/settings/sign-out-everywhere")
def sign_out_everywhere() -> Response:
    """End every session of the host, this one too."""
    with transaction() as session:
        service.end_sessions(session, service.lock_user(session, current_host().id))
    return _signed_out()


@blueprint.route("/settings", methods=["GET", "POST"])
def settings() -> Page:
    """Show and change name, email address and time zone."""
    if request.method == "GET":
        return _settings_page()
    typed, host = _typed(Profile), current_host()
    try:
        wanted = from_form(Profile, typed, context={"time_zone": host.time_zone})
    except Invalid as error:
        return _settings_page(typed, error.details), 422
    with transaction() as session:
        user = service.update_profile(session, host.id, wanted)
        asked = links.change_email(session, user, wanted.email)
    sent = f"Saved. Please open the link that we sent to {wanted.email}."
    return redirect_to(url_for("accounts.settings"), sent if asked else "Saved.")


@blueprint.post("/settings/email/send")
def send_email_link() -> Response:
    """Send the link that confirms the host's email address once more."""
    with transaction() as session:
        sent = links.send_again(session, current_host().id)
    if sent:
        return redirect_to(url_for("accounts.settings"), "The link was sent again.")
    words = "Not sent: there were several links in the last hour. Please look into your spam folder."
    return redirect_to(url_for("accounts.settings"), words, "bad")


@blueprint.post("/settings/email/keep")
def keep_email() -> Response:
    """Keep the current email address; the one that waits for its confirmation is forgotten."""
    with transaction() as session:
        links.keep_email(session, current_host().id)
    return redirect_to(url_for("accounts.settings"), "Your email address stays as it is.")


@blueprint.route("/settings/email/<token>", methods=["GET", "POST"])
def confirm_email(token: str) -> Page:
    """Confirm an email address by the link that was sent there; no sign-in is needed."""
    link, user = links.find_link(db.session(), LinkPurpose.EMAIL, token)
    shown = {"email": link.email, "username": user.username}
    if request.method == "POST":  # not before: mail scanners follow links
        with transaction() as session:
            links.use_email_link(session, token)
    return render_template("accounts/confirm_email.html", done=request.method == "POST", **shown)


@blueprint.route("/forgot-password", methods=["GET", "POST"])
@limiter.limit(f"{limits.LINK_REQUESTS_PER_HOUR}/hour", methods=["POST"])
def forgot_password() -> Page:
    """Ask for a link to a new password; the answer is the same for a user that there is not."""
    if request.method != "POST" or not app_settings().smtp_url:
        return _forgot_page()
    try:
        wanted = from_form(ForgottenPassword, _typed(ForgottenPassword))
    except Invalid as error:
        return _forgot_page(error.details), 422
    with transaction() as session:
        links.ask_for_password(session, wanted.username)
    return _forgot_page(asked=True)


def _forgot_page(
    problems: Mapping[str, object] | None = None, *, wrong: str = "", asked: bool = False
) -> str:
    return render_template(
        "accounts/forgot_password.html",
        username=request.form.get("username", ""),
        problems=problems or {},
        wrong=wrong,
        asked=asked,
    )


@blueprint.route("/reset-password/<token>", methods=["GET", "POST"])
def reset_password(token: str) -> Page:
    """Set a new password by the link that was sent by email, and sign in."""
    problems: Mapping[str, object] = {}
    try:
        _, user = links.find_link(db.session(), LinkPurpose.PASSWORD, token)
        if request.method == "POST":
            wanted = from_form(PasswordReset, _typed(PasswordReset))
            with transaction() as session:
                user = links.use_password_link(session, token, wanted.new_password)
            return _signed_in(user)
    except Gone as error:
        return _forgot_page(wrong=error.message), 410
    except Invalid as error:
        problems = error.details
    page = render_template(
        "accounts/reset_password.html", token=token, username=user.username, problems=problems
    )
    return (page, 422) if problems else page


@blueprint.post("/settings/delete")
def delete_account() -> Page:
    """Delete the account: nobody can sign in or book from now on, and the worker removes everything."""
    number = current_host().id
    try:
        wanted = from_form(AccountDeletion, _typed(AccountDeletion))
        guessing = guesses.guess("current password", str(number), known="signed in", host=number)
        with guessing, transaction() as session:
            service.delete_account(session, number, wanted.password, wanted.bookings)
    except Invalid as error:
        return _settings_page(deletion_problems=error.details), 422
    logout_user()
    return redirect_to(url_for("accounts.login"), "Your account is being deleted.")


@blueprint.post("/settings/password")
def password() -> Page:
    """Change the password; every other browser is signed out."""
    number = current_host().id
    try:
        change = from_form(PasswordChange, _typed(PasswordChange))
        guessing = guesses.guess("current password", str(number), known="signed in", host=number)
        with guessing, transaction() as session:
            user = service.change_password(session, number, change.current_password, change.new_password)
            service.begin_session(session, user, request.user_agent.string)
    except Invalid as error:
        return _settings_page(password_problems=error.details), 422
    login_user(user)
    response = redirect_to(url_for("accounts.settings"), "Password changed.")
    guesses.remember_browser(response, user)
    return response


def _signed_in(user: User, otherwise: str = HOME) -> Response:
    """Begin a fresh session, so that nothing in an earlier one counts, and lead on."""
    address = local_path(request.values.get("next"), otherwise)
    with transaction() as session:
        service.end_session(session, login_id())
        service.begin_session(session, user, request.user_agent.string)
        kept = unsaved.hand_over(session, cookies.get(unsaved.COOKIE), user.id)
    cookies.clear()
    cookies.permanent = True
    unsaved.own_pages(user.id)
    if kept:
        cookies[unsaved.COOKIE] = kept
        address = url_for("accounts.unsaved_form")
    login_user(user)
    response = _in_place(user) if is_htmx() else redirect_to(address)
    guesses.remember_browser(response, user)
    return response


def _in_place(user: User) -> Response:
    """Tell a page whose session had ended who is signed in now, and its new token."""
    return trigger(
        Response(status=204), **{"signed-in": {"username": user.username, "csrf": generate_csrf()}}
    )


def _signed_out() -> Response:
    logout_user()
    cookies.clear()
    return redirect_to(url_for("accounts.login"))


def _typed(model: type[BaseModel]) -> dict[str, str]:
    """Return the fields of a form as they were typed; one that is missing is empty."""
    return {name: request.form.get(name, "") for name in model.model_fields}


def _login_page(wrong: str = "", problems: Mapping[str, object] | None = None) -> str:
    return render_template(
        "accounts/_sign_in.html" if is_htmx() else "accounts/login.html",
        username=request.values.get("username", ""),
        problems=problems or {},
        wrong=wrong,
        next_page=local_path(request.values.get("next"), ""),
        may_sign_up=service.signup_open(db.session()),
        unsaved=unsaved.is_kept(db.session()),
    )


def _signup_page(problems: Mapping[str, object]) -> str:
    typed = _typed(SignUp)
    typed["time_zone"] = present_name(typed["time_zone"])
    return render_template(
        "accounts/signup.html",
        typed=typed,
        problems=problems,
        zones=grouped(typed["time_zone"]),
        asks_code=bool(app_settings().signup_code),
        base_url=app_settings().base_url,
        next_page=local_path(request.values.get("next"), ""),
    )


def _settings_page(
    typed: Mapping[str, str] | None = None,
    problems: Mapping[str, object] | None = None,
    password_problems: Mapping[str, object] | None = None,
    deletion_problems: Mapping[str, object] | None = None,
) -> str:
    host = current_host()
    values = dict(typed or {name: getattr(host, name) for name in Profile.model_fields})
    values["time_zone"] = present_name(values["time_zone"])
    return render_template(
        "accounts/settings.html",
        values=values,
        problems=problems or {},
        host=host,
        sessions=service.sessions_of(db.session(), host.id),
        this_session=service.session_id_in(login_id()),
        zones=grouped(values["time_zone"]),
        zone_note=zone_note(host.time_zone),
        password_problems=password_problems or {},
        deletion_problems=deletion_problems or {},
    )


@blueprint.app_context_processor
def known_to_templates() -> dict[str, object]:
    """Say in every template whether this server sends emails."""
    return {"sends_email": bool(app_settings().smtp_url)}
