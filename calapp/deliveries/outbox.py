"""The body of an event: Cal.com's envelope, made once, as the exact text that is signed and sent."""

import json
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from calapp import counters, limits, logs, tracing
from calapp.accounts.models import User
from calapp.addresses import key_of
from calapp.broker import wake_workers
from calapp.clock import iso_milliseconds, now
from calapp.db import after_commit, is_sqlite, one_at_a_time
from calapp.deliveries import notices
from calapp.deliveries.models import Delivery, State
from calapp.direct import AnySession
from calapp.errors import Conflict, Invalid
from calapp.statements import ByIds, ByRows, Plain, instant, writer
from calapp.webhooks import template
from calapp.webhooks.models import ParkedDecision


def new_event_id() -> str:
    """Make an event's id: evt_ and 24 random characters."""
    return f"evt_{secrets.token_hex(12)}"


def envelope(event_id: str, trigger: str, created_at: datetime, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap a payload as Cal.com does, with our `id` beside it."""
    return {
        "triggerEvent": trigger,
        "createdAt": iso_milliseconds(created_at),
        "id": event_id,
        "payload": dict(payload),
    }


def encoded(made: Mapping[str, Any]) -> str:
    """Return the body of an envelope as the one text that is stored, signed and sent."""
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


FAILED = "The payload template could not be rendered: "

log = logging.getLogger(__name__)


class TemplateChoice(StrEnum):
    """Which body a delivery is resent with."""

    ORIGINAL = "original"  # the one it was sent with
    CURRENT = "current"  # rendered with the webhook's current template


@dataclass(frozen=True)
class Rendered:
    """What a template made of an event; without a body the event's is sent, with a problem nothing."""

    body: str | None = None
    content_type: str | None = None
    problem: str | None = None

    @property
    def size(self) -> int:
        """Its bytes, beside those of the event's body."""
        return len(self.body.encode()) if self.body else 0

    def columns(self) -> dict[str, Any]:
        """Return what a delivery stores; one that failed has an empty body, so nothing sends the event's."""
        body = "" if self.problem else self.body
        failed = self.problem is not None
        return {"body": body, "content_type": self.content_type, "template_failed": failed}

    def give(self, delivery: Delivery) -> None:
        """Store it on a delivery."""
        for name, value in self.columns().items():
            setattr(delivery, name, value)


def rendered(text: str | None, envelope: Mapping[str, Any], room: int = limits.EVENT_BYTES) -> Rendered:
    """Render an event with a template within so many bytes; whatever goes wrong is a problem in words."""
    if text is None:
        return Rendered()
    most = max(0, min(limits.BODY_BYTES, room))
    try:
        body, content_type = template.render(text, envelope, most=most)
    except template.TooLarge as error:
        words = "All bodies of this event together would be larger than 1 MB."
        return Rendered(problem=FAILED + (error.message if most == limits.BODY_BYTES else words))
    except Invalid as error:
        return Rendered(problem=FAILED + error.message)
    except Exception:
        log.exception("A payload template could not be rendered")
        return Rendered(problem=FAILED + "An unexpected error. See the server log.")
    return Rendered(body, content_type)


def for_resend(delivery: Delivery, choice: TemplateChoice | None) -> Rendered | None:
    """Return the body to resend a delivery with, None for the one that it has; its event's body must be kept.

    Without a choice it is the original one, where there is one. Raises Conflict when there is none, or when
    the current template cannot be rendered.
    """
    if choice != TemplateChoice.CURRENT and not delivery.template_failed:
        return None
    if choice == TemplateChoice.ORIGINAL:
        raise Conflict("There is no original body because the template could not be rendered at that time.")
    made = rerendered(delivery)
    if made.problem:
        raise Conflict(f"{made.problem} Please fix the webhook's template first.")
    return made


def rerendered(delivery: Delivery) -> Rendered:
    """Render a delivery's event with its webhook's current template; no JSON is a problem in words."""
    try:
        made: dict[str, Any] = json.loads(delivery.event.body or "{}")
    except ValueError:
        return Rendered(problem=FAILED + "The stored body of this event is not JSON.")
    return rendered(delivery.webhook.payload_template, made)


def corrected(session: Session, ids: Sequence[int]) -> dict[int, Rendered]:
    """Render, of these deliveries, those whose template failed, with the current one; a plain read."""
    query = select(Delivery).where(Delivery.id.in_(ids), Delivery.template_failed)
    return {one.id: rerendered(one) for one in session.scalars(query)}


# An earlier delivery of the same chain that has failed so often holds the later ones up no longer.
ATTEMPTS_THAT_BLOCK = 4
# For so long after its webhook is on again, while nothing is decided, what is parked holds later ones up.
PARKED_HOLD = timedelta(hours=1)

# The last delivery that is parked before this one, of its chain and webhook, and may still be decided on.
UNDECIDED = """SELECT max(parked.id) FROM delivery AS parked JOIN webhook ON webhook.id = parked.webhook_id
  WHERE parked.webhook_id = delivery.webhook_id AND parked.chain = delivery.chain
    AND parked.state = 'parked' AND parked.id < delivery.id
    AND (webhook.settling IS NULL
      OR webhook.settling = 'drop' AND parked.id > COALESCE(webhook.settling_to, 0))
    AND webhook.active AND webhook.on_at > :since"""
FREE_NEXT = ByIds(f"""UPDATE delivery SET after_id = ({UNDECIDED}),
  due_at = CASE WHEN ({UNDECIDED}) IS NULL THEN :at ELSE :held END
WHERE after_id {{among}} AND state = 'waiting'""")


def free_next(session: AnySession, ids: Collection[int], at: datetime) -> None:
    """Let what waits behind these deliveries go, but for what a parked one still holds up."""
    FREE_NEXT.run(session, ids, at=at, held=at + PARKED_HOLD, since=at - PARKED_HOLD)


# A host's webhooks, on or off, for an event type and for all, and the last deliveries of a chain at each that
# hold a later one up; one probe of an index for each. What Send now has sent, be it once or again after it
# failed, goes ahead of its line: its end must not free what comes after the line.
SUBSCRIBED = """SELECT id, subscriber_url, triggers, active, settling AS parked_decision,
  payload_template, on_at,
  (SELECT id FROM delivery WHERE webhook_id = webhook.id AND chain = :chain AND state = 'waiting'
    AND tries < :block ORDER BY pressed_at IS NOT NULL, manual AND after_id IS NULL, id DESC LIMIT 1)
    AS earlier_id,
  (SELECT max(id) FROM delivery WHERE webhook_id = webhook.id AND chain = :chain
    AND state = 'parked' AND id > CASE settling WHEN 'drop' THEN COALESCE(settling_to, 0) ELSE 0 END)
    AS parked_id, event_type_id IS NOT NULL AS own
FROM webhook WHERE user_id = :host AND deleted_at IS NULL
  AND (CAST(:about AS integer) IS NULL AND (event_type_id IS NULL OR event_type_id = :event_type)
    OR id <> :about)"""
# The last column is what time it is, by PostgreSQL's clock: so there is a row without a webhook, too.
SUBSCRIBERS = Plain(
    f"{SUBSCRIBED} ORDER BY own, webhook.id",
    f"""SELECT subscribed.*, clock.now FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN ({SUBSCRIBED}) AS subscribed ON true ORDER BY own, id""",
)


class Subscriber(NamedTuple):
    """What an event needs to know of a webhook, and of what its chain has there; a row, for speed."""

    id: int
    subscriber_url: str
    triggers: list[str]
    active: bool
    parked_decision: str | None
    payload_template: str | None
    on_at: datetime | None
    earlier_id: int | None  # the delivery that a new one of this chain must wait behind
    parked_id: int | None  # the last of this chain that is parked, and not among those being discarded


def subscribers(
    session: Session,
    user_id: int,
    event_type_id: int | None,
    trigger: str,
    chain: str,
    *,
    about: int | None = None,
) -> tuple[list[Subscriber], datetime]:
    """Return the webhooks that an event goes to, on or off, and the time by the clock that all share.

    Of two with one URL the event type's own wins. One `about` a webhook (its id) goes to all others of the
    host, whatever their event types.
    """
    values = {"host": user_id, "event_type": event_type_id, "chain": chain, "block": ATTEMPTS_THAT_BLOCK}
    values["about"] = about
    at: datetime | None = None
    by_url: dict[str, Subscriber] = {}
    for row in SUBSCRIBERS.run(session, **values):
        found = Subscriber._make(row[:9])
        at = row[10] if len(row) > 10 else None
        if found.id is None:
            break
        triggers = json.loads(found.triggers) if isinstance(found.triggers, str) else found.triggers
        if trigger in triggers:
            on_at = instant(found.on_at) if found.on_at else None
            by_url[key_of(found.subscriber_url)] = found._replace(triggers=triggers, on_at=on_at)
    return sorted(by_url.values(), key=lambda one: one.id), at or now()


class Recorded(NamedTuple):
    """An event that was written."""

    uid: str
    user_id: int
    number: int
    trigger: str
    event_type_id: int | None
    chain: str
    sequence: int
    subject: str
    search: str
    body: str
    trace: str
    trace_state: str | None
    created_at: datetime
    expires_at: datetime | None
    id: int = 0


COLUMNS = ", ".join(Recorded._fields[:-1])
VALUES = ", ".join(f":{name}" for name in Recorded._fields[:-1])
NUMBERED = 'UPDATE "user" SET last_event_number = :number WHERE id = :user_id'
EVENT = f"INSERT INTO event ({COLUMNS}) VALUES ({VALUES}) RETURNING id"
NUMBER = Plain(NUMBERED)  # `user` is locked, so it is the last one
DELIVERIES = ByRows(
    "INSERT INTO delivery ({columns}) SELECT {values} {from_rows}",
    event_id="integer",
    webhook_id="integer",
    chain="text",
    state="text",
    due_at="timestamptz",
    after_id="integer",
    attempts="integer",
    tries="integer",
    manual="boolean",
    body="text",
    content_type="text",
    template_failed="boolean",
    reason="text",
    created_at="timestamptz",
    parked_at="timestamptz",
    finished_at="timestamptz",
    expires_at="timestamptz",
)
OF_EVENT = DELIVERIES.names[1:]  # what a delivery has beside its event
# PostgreSQL takes all of it in one round trip.
WRITE = Plain(
    EVENT,
    f"""WITH numbered AS ({NUMBERED}), recorded AS ({EVENT}), sent AS (
  INSERT INTO delivery (event_id, {", ".join(OF_EVENT)})
  SELECT recorded.id, {", ".join(f"r.{name}" for name in OF_EVENT)}
  FROM recorded CROSS JOIN {DELIVERIES.given}
) SELECT id FROM recorded""",
)


def record(
    session: Session,
    *,
    user: User,
    trigger: str,
    payload: Mapping[str, Any],
    chain: str,
    sequence: int,
    subject: str,
    event_type_id: int | None = None,
    about: int | None = None,
    expires_at: datetime | None = None,
    search: str = "",
) -> Recorded:
    """Write an event and a delivery for each webhook that asked for it, and wake the worker afterwards.

    It is one of an event type's bookings, or `about` a webhook (its id), and then goes to the others. `user`
    must be locked (accounts.service.lock_user): the event's number is taken from it.
    """
    session.flush()
    told, created_at = subscribers(session, user.id, event_type_id, trigger, chain, about=about)
    sending = [one.id for one in told if _sends_parked(one)]
    if sending:
        for webhook_id in sending:
            lock_parked(session, webhook_id)  # its last step may be under way
        told, created_at = subscribers(session, user.id, event_type_id, trigger, chain, about=about)
    event_id, trace = new_event_id(), tracing.current()
    made = envelope(event_id, trigger, created_at, payload)
    event = Recorded(
        event_id,
        user.id,
        user.last_event_number + 1,
        str(trigger),
        event_type_id,
        chain,
        sequence,
        subject,
        search.lower(),
        encoded(made),
        trace.traceparent,
        trace.state or None,
        created_at,
        expires_at,
    )
    event = _write(session, event, _rows(event, told, made))
    set_committed_value(user, "last_event_number", event.number)
    after_commit(session, "wake", wake_workers)
    fields: dict[str, object] = {"trace_id": trace.trace_id, "event": event_id, "host": user.id}
    fields |= {"trigger": str(trigger), "booking": logs.shortened(subject)}
    after_commit(session, f"log {event_id}", partial(logs.say, log, "event", **fields))
    after_commit(session, f"count {event_id}", partial(counters.count, counters.EVENTS, str(trigger)))
    return event


def _write(session: Session, event: Recorded, rows: Sequence[Mapping[str, Any]]) -> Recorded:
    """Write an event with its number and its deliveries; tell of templates that could not be rendered."""
    write = writer(session)
    deliveries = [
        tuple(
            write(value) if isinstance(value := row[name], datetime) else value for name in DELIVERIES.names
        )
        for row in rows
    ]
    values = event._asdict()
    del values["id"]
    if is_sqlite(session):
        NUMBER.run(session, number=event.number, user_id=event.user_id)
        event = event._replace(id=WRITE.run(session, **values).all()[0][0])
        if deliveries:
            DELIVERIES.run(session, [(event.id, *row[1:]) for row in deliveries])
    else:
        found = WRITE.run(session, rows=DELIVERIES.encoded(deliveries), **values)
        event = event._replace(id=found.all()[0][0])
    problems = {row["webhook_id"]: row["reason"] for row in rows if row["template_failed"]}
    if problems:
        notices.tell_template_failures(session, problems)
    return event


def _sends_parked(webhook: Subscriber) -> bool:
    return webhook.active and webhook.parked_decision == ParkedDecision.RELEASE


def _holds_parked(webhook: Subscriber, at: datetime) -> bool:
    """Return whether a webhook was switched on so lately that its host may still decide what is parked."""
    lately = webhook.on_at is not None and webhook.on_at + PARKED_HOLD > at
    return webhook.active and lately and webhook.parked_decision != ParkedDecision.RELEASE


def _rows(event: Recorded, told: Sequence[Subscriber], envelope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the deliveries of an event, to be written by one statement whatever their number is."""
    room = limits.EVENT_BYTES - len(event.body.encode())
    rows = []
    for webhook in told:
        made = rendered(webhook.payload_template, envelope, room)
        room -= made.size
        state, reason = State.WAITING, None
        if made.problem:
            state, reason = State.FAILED, made.problem
        elif not webhook.active:
            state, reason = State.PARKED, "The webhook was off when this happened."
        elif webhook.parked_id and _sends_parked(webhook):
            reason = "Waiting for earlier, parked events of this booking, which are being sent."
            state = State.PARKED
        due_at: datetime | None = event.created_at
        if after_id := None if reason else webhook.earlier_id:
            due_at = None
        elif webhook.parked_id and _holds_parked(webhook, event.created_at) and webhook.on_at and not reason:
            after_id, due_at = webhook.parked_id, webhook.on_at + PARKED_HOLD
        rows.append(
            {
                "event_id": None,  # not known yet
                "webhook_id": webhook.id,
                "chain": event.chain,
                "state": state,
                "due_at": None if reason else due_at,
                "after_id": after_id,
                "attempts": 0,
                "tries": 0,
                "manual": False,
                **made.columns(),
                "reason": reason,
                "created_at": event.created_at,
                "parked_at": event.created_at if state is State.PARKED else None,
                "finished_at": event.created_at if state is State.FAILED else None,
                "expires_at": event.expires_at,
            }
        )
    return rows


def lock_parked(session: Session, webhook_id: int) -> None:
    """Let nobody else send, discard or add to what is parked at a webhook until the transaction ends."""
    one_at_a_time(session, f"parked at {webhook_id}")
