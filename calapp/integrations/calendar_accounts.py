"""The boxes of CalDAV accounts: signing in, choosing calendars, another password, removing."""

from collections.abc import Mapping

from flask import Blueprint, Response, request, url_for
from markupsafe import Markup

from calapp.accounts.guards import current_host, require_host
from calapp.bookings.copies import copy_upcoming, send_again
from calapp.calendars import accounts
from calapp.calendars.accounts import Choice, checked_account, own_account
from calapp.calendars.fetch import Unreadable
from calapp.calendars.models import CalendarAccount
from calapp.calendars.views import card_html, card_response
from calapp.db import db, transaction
from calapp.errors import AppError, Busy, Conflict, Invalid, KeyDoesNotFit
from calapp.htmx import asked_from, is_htmx, page_or_fragment, redirect_to

blueprint = Blueprint("calendar_accounts", __name__)
blueprint.before_request(require_host)

ACCOUNT = "/integrations/calendars/accounts/<int:account_id>"


@blueprint.get("/integrations/calendars/accounts/new")
def new() -> Response:
    """Show an empty box."""
    return _sign_in_box({})


@blueprint.post("/integrations/calendars/accounts/new")
def create() -> Response:
    """Save an account that can be signed in to, and ask which of its calendars are to be used."""
    host_id = current_host().id
    try:
        wanted = checked_account(request.form)
        accounts.refuse_another(db.session(), host_id, wanted)
        db.session().rollback()  # nothing may stay open while the network is awaited
        found = accounts.found_calendars(host_id, wanted)
        with transaction() as session:
            account_id = accounts.create(session, host_id, wanted, found).id
    except (Invalid, Conflict, Busy, Unreadable) as error:
        return _sign_in_box(request.form, error=error)
    if not is_htmx():
        return redirect_to(url_for(".choose", account_id=account_id))
    # The card behind the box shows the account at once, should the box be closed now.
    return _choose_box(own_account(account_id), card=asked_from(url_for("integrations.index")))


@blueprint.get(f"{ACCOUNT}/password")
def ask_password(account_id: int) -> Response:
    """Ask for another password."""
    return _sign_in_box({}, own_account(account_id))


@blueprint.post(f"{ACCOUNT}/password")
def change_password(account_id: int) -> Response:
    """Keep a password that fits; what waited for it is read and written now."""
    account, host_id = own_account(account_id), current_host().id
    try:
        wanted = checked_account(request.form, account)
        db.session().rollback()
        found = accounts.found_calendars(host_id, wanted)
        with transaction() as session:
            accounts.change_password(session, own_account(account_id), wanted.password, found)
            send_again(session, account_id)
    except (Invalid, Busy, Unreadable) as error:
        return _sign_in_box(request.form, own_account(account_id), error)
    return card_response("Password saved.", focus=f"choose-calendars-{account_id}")


@blueprint.get(f"{ACCOUNT}/calendars")
def choose(account_id: int) -> Response:
    """Show an account's calendars and what each is used for."""
    return _choose_box(own_account(account_id))


@blueprint.post(f"{ACCOUNT}/calendars")
def save_choice(account_id: int) -> Response:
    """Use calendars as chosen; those that are to block are read first."""
    account = own_account(account_id)
    choice = Choice(frozenset(request.form.getlist("blocks")), request.form.get("writes", ""))
    try:
        new_ones = [
            one
            for one in accounts.calendars_of(db.session(), account)
            if one.key in choice.blocks and not one.blocks
        ]
        readings = accounts.first_readings(current_host(), account, new_ones)
        with transaction() as session:
            target = accounts.choose(session, own_account(account_id), choice, readings)
            if target is not None:
                copy_upcoming(session, target)
    except (Invalid, Conflict, Busy, Unreadable) as error:
        return _choose_box(own_account(account_id), choice, str(error.args[0]))
    except KeyDoesNotFit:
        words = "The server can no longer read the password of this account. Please enter it again."
        return _choose_box(own_account(account_id), choice, words)
    return card_response("Calendars saved.", focus=f"choose-calendars-{account_id}")


@blueprint.get(f"{ACCOUNT}/remove")
def ask_remove(account_id: int) -> Response:
    """Ask before an account is removed."""
    account = own_account(account_id)
    return page_or_fragment(
        "calendars/remove_account.html", "calendars/_remove_account.html", account=account
    )


@blueprint.post(f"{ACCOUNT}/remove")
def remove(account_id: int) -> Response:
    """Remove an account with its calendars."""
    with transaction() as session:
        accounts.remove(session, own_account(account_id))
    return card_response("Account removed.", focus="new-account")


def _sign_in_box(
    typed: Mapping[str, str],
    account: CalendarAccount | None = None,
    error: AppError | Unreadable | None = None,
) -> Response:
    """Show the box of address, user name and password; a typed password does not come back."""
    errors: Mapping[str, object] = {}
    if error is not None:
        at = "password" if account is not None or getattr(error, "code", "") == "status_401" else "address"
        errors = {at: str(error.args[0])}
        if isinstance(error, AppError) and error.details:
            errors = error.details
    response = page_or_fragment(
        "calendars/account.html",
        "calendars/_account.html",
        account=account,
        shown={name: typed.get(name, "") for name in ("address", "username")},
        errors=errors,
    )
    if error is not None:
        response.status_code = 409 if isinstance(error, Conflict) else 422
    return response


def _choose_box(
    account: CalendarAccount, choice: Choice | None = None, problem: str = "", *, card: bool = False
) -> Response:
    """Show an account's calendars, ticked as they are used or as was chosen."""
    found = accounts.calendars_of(db.session(), account)
    response = page_or_fragment(
        "calendars/choose.html",
        "calendars/_choose.html",
        account=account,
        found=found,
        blocks=choice.blocks if choice else {one.key for one in found if one.blocks},
        writes=choice.writes if choice else next((one.key for one in found if one.writes), ""),
        problem=problem,
        card=Markup(card_html()) if card else "",  # noqa: S704 (made by our own template)
        action=url_for(".save_choice", account_id=account.id),
    )
    response.status_code = 422 if problem else 200
    return response
