"""What the integrations page is made of, besides the webhooks: the inspector, the feed, the checklist."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, Text, and_, cast, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.models import User
from calapp.bookings.models import Booking, Status
from calapp.clock import now
from calapp.config import settings
from calapp.db import database_now, is_sqlite
from calapp.deliveries import signing
from calapp.deliveries.signing import valid_secrets
from calapp.encryption import MARK, hashed
from calapp.errors import KeyDoesNotFit, NotFound
from calapp.integrations.models import Inspector, InspectorRequest
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OF_BOOKINGS, SUBSCRIBABLE, Trigger, Webhook
from calapp.webhooks.schemas import WebhookBody

# How many requests it can reject with 500, and how many seconds it can wait.
# What the numbers of an inspector may be; an empty field is the default.
RANGES: dict[str, tuple[int, int, int | None]] = {
    "fail_next": (0, 1000, 0),
    "status": (200, 599, 500),
    "retry_after": (0, 86_400, None),
    "delay_seconds": (0, 30, 0),
}
MOST_BODY = 2000  # characters
SHOWN_METADATA = 3  # entries that a request's line shows
FEED_BACK = timedelta(days=90)
SIGNATURES = ("x-cal-signature-256", "webhook-signature")


@dataclass(frozen=True)
class Incoming:
    """A request to the inspector; header names as they came."""

    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class InspectorResponse:
    """What the inspector of a host responds."""

    host_id: int
    status: int
    body: str
    retry_after: int | None
    delay: int  # seconds


@dataclass(frozen=True, kw_only=True)
class RequestFilter:
    """Which requests the inspector's page shows: fields left empty let everything through."""

    trigger: str = ""
    result: str = ""  # ok: 2xx, failed: any other status
    signature: str = ""
    text: str = ""

    def query(self) -> dict[str, str]:
        """Return the filter as the fields of an address."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Checklist:
    """The first steps, each done or not."""

    booked: bool
    listening: bool  # a webhook leads to the inspector


def ensure_inspector(session: Session, user_id: int) -> Inspector:
    """Return a host's inspector, inserting it on the first use; the session must be in a transaction."""
    found = session.get(Inspector, user_id)
    if found is not None:
        return found
    insert = insert_sqlite if is_sqlite(session) else insert_postgresql
    # Nothing on a conflict, since two first uses may come together.
    session.execute(insert(Inspector).values(user_id=user_id).on_conflict_do_nothing())
    return session.get_one(Inspector, user_id, populate_existing=True)


def inspector_url(inspector: Inspector) -> str:
    """Return the address at which an inspector receives."""
    return f"{settings().base_url}/hooks/in/{inspector.token}"


def leading_to(session: Session, inspector: Inspector) -> list[Webhook]:
    """Return the host's webhooks that lead to the inspector."""
    url = inspector_url(inspector)
    return [one for one in webhooks.of_user(session, inspector.user_id) if one.subscriber_url == url]


def add_inspector_webhook(session: Session, user_id: int) -> Webhook:
    """Make a signed webhook with every trigger that leads to the inspector, unless there is one."""
    inspector = ensure_inspector(session, user_id)
    if found := leading_to(session, inspector):
        return found[0]
    wanted = WebhookBody.model_construct(  # not checked: BASE_URL may be what hosts may not give
        subscriber_url=inspector_url(inspector),
        triggers=[str(trigger) for trigger in SUBSCRIBABLE],
        secret=signing.new_secret(),
    )
    return webhooks.create(session, user_id, wanted)


def receive(session: Session, token: str, incoming: Incoming) -> InspectorResponse:
    """Keep a request to an inspector; return what is responded.

    Raises NotFound for an unknown token.
    """
    query = select(Inspector).where(Inspector.token == token).with_for_update()
    inspector = session.scalar(query, execution_options={"populate_existing": True})
    if inspector is None:
        raise NotFound
    try:
        name = json.loads(incoming.body)["triggerEvent"]
    except (ValueError, RecursionError, KeyError, TypeError):
        name = None
    trigger = name if isinstance(name, str) and name in {str(one) for one in Trigger} else None
    response = InspectorResponse(inspector.user_id, 200, "received\n", None, inspector.delay_seconds)
    if inspector.fail_next:
        inspector.fail_next -= 1
        body = inspector.body or "failed on request\n"
        response = replace(response, status=inspector.status, body=body, retry_after=inspector.retry_after)
    request = InspectorRequest(
        user_id=inspector.user_id,
        received_at=database_now(session),
        headers=_first_headers(incoming.headers),
        body=first_bytes(_clean(incoming.body.decode(errors="replace")), limits.INSPECTED_BODY_BYTES),
        size=len(incoming.body),
        trigger=trigger,
        signature=_judge(session, inspector, incoming),
        status=response.status,
    )
    session.add(request)
    session.flush()
    _trim(session, inspector.user_id)
    if trigger in {str(one) for one in OF_BOOKINGS}:
        finish_checklist(session, inspector.user_id)
    return response


def first_bytes(text: str, most: int) -> str:
    """Return as much of a text as fits into `most` bytes of UTF-8, whole characters."""
    return text.encode()[:most].decode(errors="ignore")


def _first_headers(headers: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the headers until INSPECTED_HEADER_BYTES are full; one more says what does not fit."""
    kept: list[list[str]] = []
    left = limits.INSPECTED_HEADER_BYTES
    for place, (name, value) in enumerate(headers):
        pair = [_clean(name), _clean(value)]
        left -= sum(len(part.encode()) for part in pair)
        if left < 0:
            return [
                *kept,
                ["(not kept)", f"{len(headers) - place} more headers, which are too long in total"],
            ]
        kept.append(pair)
    return kept


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _judge(session: Session, inspector: Inspector, incoming: Incoming) -> str:
    """Compare a request's signatures with the webhooks that lead here: good, bad, or none when not signed."""
    headers = {name.lower(): value for name, value in incoming.headers}
    given = [headers[name] for name in SIGNATURES if name in headers]
    if not given or given == [signing.NO_SECRET]:
        return "none"
    at, secrets = now(), []
    for webhook in leading_to(session, inspector):
        with suppress(KeyDoesNotFit):  # then the signature is called bad, which it may be to any receiver
            secrets += valid_secrets(webhook, at)
    return "good" if any(signing.verify(one, incoming.body, headers) for one in secrets) else "bad"


def _trim(session: Session, user_id: int) -> None:
    """Delete the oldest requests beyond INSPECTOR_REQUESTS, and those beyond INSPECTOR_BYTES together."""
    octets = [
        func.length(cast(column, LargeBinary))
        if is_sqlite(session)
        else func.octet_length(cast(column, Text))
        for column in (InspectorRequest.body, InspectorRequest.sealed_headers)
    ]
    rows = session.execute(
        select(InspectorRequest.id, *octets)
        .where(InspectorRequest.user_id == user_id)
        .order_by(InspectorRequest.id.desc())
        .limit(limits.INSPECTOR_REQUESTS)
    ).all()
    kept: list[int] = []
    left = limits.INSPECTOR_BYTES
    for number, body, headers in rows:
        left -= body + headers
        if left < 0 and kept:
            break
        kept.append(number)
    session.execute(
        delete(InspectorRequest)
        .where(InspectorRequest.user_id == user_id, InspectorRequest.id.not_in(kept))
        .execution_options(synchronize_session=False)
    )


def received(session: Session, user_id: int, wanted: RequestFilter, after: int = 0) -> list[InspectorRequest]:
    """Return what an inspector received after a request's id and a filter lets through, newest first."""
    query = select(InspectorRequest).where(InspectorRequest.user_id == user_id, InspectorRequest.id > after)
    if wanted.trigger:
        query = query.where(InspectorRequest.trigger == wanted.trigger)
    if wanted.signature:
        query = query.where(InspectorRequest.signature == wanted.signature)
    if wanted.result:
        good = InspectorRequest.status.between(200, 299)
        query = query.where(good if wanted.result == "ok" else ~good)
    if wanted.text:
        query = query.where(InspectorRequest.body.icontains(wanted.text, autoescape=True))
    return list(session.scalars(query.order_by(InspectorRequest.id.desc())))


def request_of(session: Session, user_id: int, request_id: int) -> InspectorRequest:
    """Return a request to a host's inspector; raise NotFound."""
    query = select(InspectorRequest).where(
        InspectorRequest.user_id == user_id, InspectorRequest.id == request_id
    )
    found: InspectorRequest | None = session.scalar(query)
    if found is None:
        raise NotFound
    return found


def pretty(body: str) -> str:
    """Return a JSON body with line breaks, where that fits into INSPECTED_BODY_BYTES; else its first bytes.

    Levels are indented, so that deep JSON may grow a thousandfold: it is written only until it is too long.
    """
    parts, left = [], limits.INSPECTED_BODY_BYTES
    try:
        for part in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(json.loads(body)):
            parts.append(part)
            left -= len(part.encode())
            if left < 0:
                break
        else:
            return "".join(parts)
    except (ValueError, RecursionError):
        pass
    return first_bytes(body, limits.INSPECTED_BODY_BYTES)


def metadata_in(body: str) -> list[str]:
    """Return the first entries of a body's metadata, each as key=value; none where there is no such thing."""
    try:
        found = json.loads(body)["payload"]["metadata"].items()
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return []
    return [f"{key}={value}"[:60] for key, value in found][:SHOWN_METADATA]


def checklist(session: Session, user: User) -> Checklist | None:
    """Return the first steps of a host, or None once they are done."""
    if user.checklist_done_at is not None:
        return None
    booked = bool(session.scalar(select(exists().where(Booking.host_id == user.id))))
    inspector = session.get(Inspector, user.id)
    return Checklist(booked, bool(inspector and leading_to(session, inspector)))


def finish_checklist(session: Session, user_id: int) -> None:
    """Put the checklist away for good."""
    session.execute(
        update(User)
        .where(User.id == user_id, User.checklist_done_at.is_(None))
        .values(checklist_done_at=database_now(session))
    )


def feed_of(session: Session, token: str) -> tuple[User, Sequence[Booking], datetime]:
    """Return whose feed this is, its bookings from 90 days ago on, and when one of the host's last changed.

    Raises NotFound for an unknown one.
    """
    # By its hash, or as it is where it is still stored plain. A plain one counts alone: an earlier version
    # may have renewed it, and left the previous one's hash.
    hashed_one = (User.calendar_token_hash == hashed(token)) & User.sealed_calendar_token.startswith(
        MARK, autoescape=True
    )
    query = select(User).where(or_(User.sealed_calendar_token == token, hashed_one))
    user = None if token.startswith(MARK) else session.scalar(query)
    if user is None or user.closed_at is not None:
        raise NotFound
    bookings = session.scalars(
        select(Booking)
        .where(
            Booking.host_id == user.id,
            Booking.starts_at > database_now(session) - FEED_BACK,
            or_(
                Booking.status == Status.ACCEPTED,
                # A request whose start has passed takes no place, even if not declined yet.
                and_(Booking.status == Status.PENDING, Booking.starts_at > now()),
            ),
        )
        .order_by(Booking.starts_at)
        .limit(5000)
    )
    # Of all bookings: one that was cancelled is not in the feed any more.
    changed = session.scalar(select(func.max(Booking.updated_at)).where(Booking.host_id == user.id))
    return user, bookings.all(), changed or user.created_at
