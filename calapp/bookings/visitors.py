"""What a stranger may cause: names without web addresses, limits by mailbox and address, forms of people.

The limits on requests count an address and an event type, however either is written: a counter whose key a
stranger can renew is no limit. So what leads to no event type is counted under the address alone, and a
booking, which gets a new uid with each move, under its event type.
"""

import hashlib
import hmac
import logging
import re
import secrets
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import request
from itsdangerous import BadSignature, TimestampSigner
from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from calapp.accounts.models import User
from calapp.addresses import network_of
from calapp.bookings.models import Attendee, Booking, VisitorAct, find
from calapp.bookings.times import ACTIVE
from calapp.clock import now
from calapp.config import is_loopback, settings
from calapp.db import LARGEST, db, one_at_a_time
from calapp.errors import TooMany
from calapp.event_types.service import find_offered, find_public
from calapp.mail import Email, waits
from calapp.statements import Plain
from calapp.text import whole_number

# ruff: noqa: RUF001 (letters that look like others are what this is about)


# Dots and slashes that browsers, email programs or eyes take for the plain ones and that NFKC leaves.
LIKE_DOT = "\u3002\uff61\u06d4\u0701\u0702\ua4f8\ua60e\u1390\u2e33"  # not the middle dot of names
LIKE_SLASH = "\u2215\u2044\u2571\u29f8"
LIKE_COLON = "\u02d0\u02f8\u2236\ua789"
LOOKALIKES = str.maketrans(
    dict.fromkeys(LIKE_DOT, ".") | dict.fromkeys(LIKE_SLASH, "/") | dict.fromkeys(LIKE_COLON, ":")
)
# Ends of names that email programs make links of, those that are abused most, and those kept for examples
# (RFC 2606). Ends that are people's names, too (Dr.No, Wei.Li), count only before a path.
ENDS = frozenset(
    """
    com net org info biz io co me tv cc ly gl gg to ai app dev xyz top shop store online site website club
    live life link click icu vip work world today space fun buzz blog news press email support services
    solutions center digital agency cloud tech host hosting domains download review reviews win bid loan
    loans cash money finance credit bet casino poker porn sex adult cam date dating pro mobi name tel
    asia eu ru su cn de uk us ca au nl fr es pt pl br ar mx cl in jp kr tw hk vn th id ph pk ir ua by kz
    tr gr il za ng ke tk ml ga cf gq pw ws st sh ac ag am fm gd la lc mn sc vc cx nu ch at be dk fi se cz
    sk hu ro bg rs hr si lt lv ee is ie lu nz edu gov mil int arpa
    example test invalid localhost local onion internal lan
    рф рус онлайн сайт 中国 中國 公司 网络 网址 商城 在线 移动 集团 भारत 한국 みんな コム
    """.split()  # noqa: SIM905 (all these quotes are harder to read)
)
TITLES = frozenset(
    "dr mr mrs ms mx st ste jr sr prof rev hon sir fr br lt col gen maj sgt capt drs ing".split()  # noqa: SIM905
)
DOTTED = re.compile(r"(?<![\w.@-])(?:[\w-]+\.)+[\w-]+(?![\w@-])")


def has_web_address(name: str) -> bool:
    """Return whether a name (200 characters at most) has a web address in it, however it is disguised."""
    plain = unicodedata.normalize("NFKC", name)
    plain = (
        "".join(sign for sign in plain if unicodedata.category(sign) != "Cf").translate(LOOKALIKES).lower()
    )
    if re.search(r"://|(?<!\w)(?:https?|ftp):|(?<!\w)www\s?\.|xn--|@[\w.-]+/", plain):
        return True
    return any(_is_address(match[0], plain[match.end() :]) for match in DOTTED.finditer(plain))


def _is_address(dotted: str, rest: str) -> bool:
    labels = dotted.split(".")
    *_, before, end = labels
    if end.isdigit():
        return len(labels) == 4 and all(label.isdigit() for label in labels)
    if len(end) < 2:
        return False
    if rest.startswith(("/", "?", "#")) or re.match(r":\d", rest):
        return True
    if len(before) == 1:  # an initial: J.Lo
        return end in {"com", "net", "org"}
    return end in ENDS and not (len(labels) == 2 and before in TITLES)


# The one large provider that is known to ignore dots.
DOTLESS_PROVIDERS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}


def mailbox_of(email: str) -> str:
    """Return which mailbox an email address leads to, as far as that can be known without asking.

    Letters in either case are the same everywhere, and what follows a plus sign is nearly everywhere the
    person's own invention: both are free to vary, so neither makes another visitor. Dots make another person
    with most providers; only Google is known to ignore them.
    """
    local, _, domain = email.strip().casefold().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in DOTLESS_PROVIDERS:
        local, domain = local.replace(".", ""), DOTLESS_PROVIDERS[domain]
    return f"{local}@{domain}"


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEP = 500  # rows that one step forgets
OVER = "Not sent: the meeting ended before the email was released."

log = logging.getLogger(__name__)


def address_key(address: str) -> str:
    """Return under what an address is kept: a hash that means nothing without SECRET_KEY."""
    return _keyed("address", network_of(address))


def email_key(email: str) -> str:
    """Return under what a mailbox is counted."""
    return _keyed("email", mailbox_of(email))


def _keyed(kind: str, text: str) -> str:
    key = settings().secret_key.encode()
    return hmac.new(key, f"{kind} {text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


OPEN = Plain("""SELECT
  (SELECT count(*) FROM booking WHERE host_id = :host AND address_key = :address
    AND status IN ('pending', 'accepted') AND starts_at > :at),
  (SELECT count(*) FROM booking WHERE host_id = :host AND email_key = :email
    AND status IN ('pending', 'accepted') AND starts_at > :at)""")


def check_open_bookings(session: Session, host: User, address: str, email: str) -> None:
    """Raise TooMany when a visitor has as many upcoming bookings with a host as the settings allow.

    The caller holds the host's lock, so two requests at once cannot both take the last place.
    """
    keys = {"address": address_key(address), "email": email_key(email)}
    by_address, by_email = OPEN.run(session, host=host.id, at=now(), **keys)[0]
    limits = (
        (
            "OPEN_BOOKINGS_PER_ADDRESS",
            settings().open_bookings_per_address,
            by_address,
            "from your internet address",
        ),
        (
            "OPEN_BOOKINGS_PER_EMAIL",
            settings().open_bookings_per_email,
            by_email,
            "with this email address",
        ),
    )
    for name, most, count, whose in limits:
        if not most or count < most:
            continue
        bookings = (
            "There is already 1 upcoming booking"
            if most == 1
            else f"There are already {most} upcoming bookings"
        )
        raise _refused(
            name,
            host,
            address,
            f"{bookings} with {host.name} {whose}, which is the limit. Please cancel one first.",
        )


def check_moves(session: Session, host: User, booking: Booking, address: str) -> None:
    """Raise TooMany when visitors have moved a meeting as often within an hour as the settings allow."""
    most = settings().moves_per_hour
    if not most or settings().rate_limits == "off":
        return
    moves = (VisitorAct.chain == booking.chain, VisitorAct.moved, VisitorAct.at > now() - HOUR)
    count, first = session.execute(
        select(func.count(VisitorAct.id), func.min(VisitorAct.at)).where(*moves)
    ).one()
    if count >= most:
        often = "once" if most == 1 else f"{most} times"
        words = f"This meeting was rescheduled {often} within an hour. Please wait before you move it again."
        raise _refused("MOVES_PER_HOUR", host, address, words, _wait(first, HOUR))


def admit(
    session: Session,
    host: User,
    address: str,
    chain: str,
    *,
    recipients: int,
    moved: bool = False,
    always: bool = False,
) -> bool:
    """Count a visitor's act that sends emails; return whether they wait for the host instead of going out.

    `recipients` are the visitor and the guests: the host asked for emails, and always gets them. Beyond what
    a host's visitors may cause in a day they wait. Beyond what an address may cause in an hour TooMany is
    raised, unless the act is one to be had `always`, as a cancellation is: then its emails wait, too.
    """
    if settings().rate_limits == "off":
        return False
    key = address_key(address)
    one_at_a_time(session, f"address {key}")  # which may be busy with another host at the same moment
    parked = False
    used, first = _used(session, VisitorAct.address_key == key, HOUR)
    most = settings().recipients_per_hour
    if most and used + recipients > most:
        words = (
            f"Bookings from your network have sent emails to {used} people within an hour. The limit is "
            f"{most}. Please wait a while, or invite fewer guests."
        )
        refused = _refused("RECIPIENTS_PER_HOUR", host, address, words, _wait(first, HOUR))
        if not always:
            raise refused
        parked = True
    of_host = and_(VisitorAct.host_id == host.id, ~VisitorAct.parked)
    most = settings().recipients_per_day_per_host
    if not parked and most and _used(session, of_host, DAY)[0] + recipients > most:
        _refused("RECIPIENTS_PER_DAY_PER_HOST", host, address, "")
        parked = True
    act = VisitorAct(host_id=host.id, address_key=key, chain=chain, moved=moved, recipients=recipients)
    act.parked, act.at = parked, now()
    session.add(act)
    return parked


def _used(session: Session, whose: ColumnElement[bool], span: timedelta) -> tuple[int, datetime | None]:
    total = select(func.coalesce(func.sum(VisitorAct.recipients), 0), func.min(VisitorAct.at))
    used, first = session.execute(total.where(whose, VisitorAct.at > now() - span)).one()
    return int(used), first


def _wait(first: datetime | None, span: timedelta) -> int:
    """Return in how many seconds the oldest of what was counted counts no more."""
    return max(1, int((first + span - now()).total_seconds()) + 1) if first else int(span.total_seconds())


def _refused(limit: str, host: User, address: str, words: str, seconds: int = 3600) -> TooMany:
    """Log that a limit was reached, and return the error to raise."""
    said: dict[str, object] = {"limit": limit, "host": host.id}
    if settings().public and is_loopback(address):
        said["note"] = "all visitors seem to come from this machine: check TRUSTED_PROXIES"
    log.warning("limit reached", extra={"said": said})
    return TooMany(words, retry_after=seconds)


def upcoming_of_visitor(
    session: Session, booking: Booking, *, by_email_only: bool = False
) -> Sequence[Booking]:
    """Return a host's upcoming bookings of whoever made one: of the same mailbox, or the same address."""
    mine = _of_visitor(booking, by_email_only=by_email_only)
    return session.scalars(select(Booking).where(*mine).order_by(Booking.starts_at, Booking.id)).all()


def count_of_visitor(session: Session, booking: Booking) -> int:
    """Return how many upcoming bookings a host has of whoever made one."""
    return session.scalar(select(func.count(Booking.id)).where(*_of_visitor(booking))) or 0


def _of_visitor(booking: Booking, *, by_email_only: bool = False) -> list[ColumnElement[bool]]:
    visitor = booking.visitor.email
    # By the key of each of the few that are to come; PostgreSQL would read all attendees for an EXISTS.
    first = select(func.lower(Attendee.email)).where(
        Attendee.booking_id == Booking.id, Attendee.position == 0
    )
    same = [
        Booking.email_key == (booking.email_key or email_key(visitor)),
        first.limit(1).scalar_subquery() == visitor.lower(),
    ]
    if booking.address_key and not by_email_only:
        same.append(Booking.address_key == booking.address_key)
    upcoming = and_(Booking.status.in_(ACTIVE), Booking.starts_at > now())
    return [Booking.host_id == booking.host_id, upcoming, or_(*same)]


def forget_addresses(session: Session) -> int:
    """Forget a step of what is needed no more; return how many rows it was.

    Where a booking that is over came from, what was counted more than a day ago, and emails that waited for
    the host until the meeting was over.
    """
    over = select(Booking.id).where(Booking.email_key.is_not(None), Booking.ends_at <= now())
    bookings = session.scalars(over.order_by(Booking.ends_at).limit(STEP)).all()
    _change(session, update(Booking).where(Booking.id.in_(bookings)).values(address_key=None, email_key=None))
    acts = session.scalars(select(VisitorAct.id).where(VisitorAct.at < now() - DAY).limit(STEP)).all()
    _change(session, delete(VisitorAct).where(VisitorAct.id.in_(acts)))
    late = (waits(), Email.about == Booking.uid, Booking.ends_at <= now())
    emails = session.scalars(select(Email.id).where(*late).limit(STEP)).all()
    _change(
        session, update(Email).where(Email.id.in_(emails)).values(parked_at=None, held_at=None, error=OVER)
    )
    return max(len(bookings), len(acts), len(emails))


def _change(session: Session, statement: object) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})  # type: ignore[call-overload]


TRAP = "website"  # a field that people do not see; who fills it in is a robot
LEAST_AGE = 2.0  # seconds; nobody fills in the form faster


def new_token() -> str:
    """Make a form's token: random, with the time when the form was made, signed; at most 64 characters."""
    return _signer().sign(secrets.token_urlsafe(9)).decode()


def known_token(token: str) -> str | None:
    """Return the token when it is one of ours, else None."""
    try:
        _signer().unsign(token)
    except BadSignature:
        return None
    return token


def by_robot(form: MultiDict[str, str]) -> bool:
    """Return whether a form was filled in by a robot: the trap holds something, or it came back too fast."""
    if form.get(TRAP):
        return True
    try:
        _, made_at = _signer().unsign(form.get("attempt", ""), return_timestamp=True)
    except BadSignature:
        return False  # a client of its own; the limits hold it
    return (now() - made_at).total_seconds() < LEAST_AGE


def _signer() -> TimestampSigner:
    keys = (settings().secret_key, *settings().secret_key_fallbacks)
    return TimestampSigner(keys[::-1], salt="attempt")  # signs with the last


def page_counter() -> str:
    """Return the counter of a request to a page of the booker; never raises."""
    return _counter(request.view_args or {})


def api_counter() -> str:
    """Return the counter of a request to the API without a key; never raises, whatever the body is."""
    from pydantic_core import from_json  # noqa: PLC0415 (a worker imports this, and reads no requests)

    try:
        given = from_json(request.get_data())
    except (ValueError, HTTPException):
        given = None
    body = given if isinstance(given, dict) else {}
    named = {"user": body.get("username"), "slug": body.get("eventTypeSlug"), "id": body.get("eventTypeId")}
    return _counter(named | (request.view_args or {}))


def _counter(named: dict[str, Any]) -> str:
    """Return the address and the id of the event type that is named."""
    from calapp.incoming import client_network  # noqa: PLC0415 (a worker imports this, and limits no requests)

    try:
        number = _event_type_id(named)
    except (SQLAlchemyError, ValueError):  # the database is away, or a text that it cannot take
        db.session().rollback()
        number = None
    return client_network() if number is None else f"{client_network()} {number}"


def _event_type_id(named: dict[str, Any]) -> int | None:
    session, user, slug = db.session(), named.get("user"), named.get("slug")
    if uid := named.get("uid"):
        booking = find(session, uid)
        return booking.event_type_id if booking else None
    if named.get("id") is not None:  # then the names count for nothing
        number = whole_number(str(named["id"])[:20])
        found = find_offered(session, number, None) if number is not None and number <= LARGEST else None
    else:
        found = find_public(session, user, slug) if isinstance(user, str) and isinstance(slug, str) else None
    return found.id if found else None
