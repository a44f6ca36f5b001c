"""The API of what was sent and what happened: the log, resend, replay, and the feed of events."""

from calapp.accounts.guards import READ, WRITE, api_key, current_host
from calapp.db import database_now, db, transaction
from calapp.deliveries import feed, formatting, log, replays, resend, schemas
from calapp.deliveries.feed import FeedPage, summary_of
from calapp.deliveries.models import State
from calapp.deliveries.replays import TimeRange
from calapp.errors import Invalid, NotFound, SignedOut
from calapp.rest.routes import Api, Page
from calapp.webhooks.models import ParkedDecision, Webhook
from calapp.webhooks.service import own_webhook

blueprint = Api("deliveries_api", tag="Deliveries and events")

WEBHOOK = "/v2/webhooks/<webhook_id>"
DELIVERY = "/v2/deliveries/<int:delivery_id>"


@blueprint.operation(
    "GET",
    f"{WEBHOOK}/deliveries",
    access=READ,
    query=schemas.DeliveryQuery,
    response=list[schemas.DeliveryResponse],
    pagination=schemas.DeliveryInfo,
)
def deliveries(webhook_id: str, query: schemas.DeliveryQuery) -> Page:
    """List the deliveries of a webhook, newest first."""
    webhook = own_webhook(webhook_id)
    page = log.page_of(db.session(), [webhook], query.filter(), query.take)
    at = database_now(db.session())
    rows = [schemas.DeliveryResponse(**schemas.delivery_fields(row, webhook, at)) for row in page.rows]
    older = page.older.before if page.older else None
    return Page(rows, schemas.DeliveryInfo(next=older, has_more=older is not None))


@blueprint.operation("GET", DELIVERY, access=READ, response=schemas.DeliveryWithAttempts)
def delivery(delivery_id: int) -> schemas.DeliveryWithAttempts:
    """Show a delivery with its body and every attempt."""
    session = db.session()
    found = log.find_of_host(session, current_host().id, delivery_id)
    return schemas.DeliveryWithAttempts(
        **schemas.delivery_fields(log.row_of(session, found.id), found.webhook, database_now(session)),
        subscriber_url=found.webhook.subscriber_url,
        body=None if found.template_failed else found.event.body if found.body is None else found.body,
        trace_id=formatting.trace_of(found, 1).trace_id if found.event.trace else None,
        attempts=[schemas.attempt(one) for one in log.attempts_of(session, found.id)],
    )


@blueprint.operation(
    "POST",
    f"{DELIVERY}/resend",
    access=WRITE,
    body=schemas.ResendWanted,
    response=schemas.DeliveryResponse,
    status=202,
    errors=(409, 410),
)
def resend_delivery(delivery_id: int, body: schemas.ResendWanted) -> schemas.DeliveryResponse:
    """Send an event again, immediately, with the same id.

    The response is the delivery that carries it: a new one when it was delivered before. When the webhook's
    template was changed since, `template` says which one the body is rendered with.
    """
    with transaction() as session:
        found = log.find_of_host(session, current_host().id, delivery_id)
        again = resend.resend(session, found, body.template)
        row = log.row_of(session, again.id)
        return schemas.DeliveryResponse(**schemas.delivery_fields(row, again.webhook, database_now(session)))


@blueprint.operation(
    "POST",
    f"{WEBHOOK}/replay",
    access=WRITE,
    body=schemas.ReplayWanted,
    response=schemas.ReplayResponse,
    status=202,
    errors=(409,),
)
def replay(webhook_id: str, body: schemas.ReplayWanted) -> schemas.ReplayResponse:
    """Send the events of a time range again, with their ids, at the pace that the receiver keeps."""
    if body.from_ >= body.to:
        raise Invalid(to="The end must be after the start.")
    time_range = TimeRange(from_at=body.from_, to_at=body.to, only_failed=body.only_failed)
    webhook = own_webhook(webhook_id)
    counted = replays.count(db.session(), webhook.id, time_range)
    if body.dry_run:
        return schemas.ReplayResponse(
            id=None,
            webhook_id=webhook.uid,
            from_=time_range.from_at,
            to=time_range.to_at,
            only_failed=time_range.only_failed,
            state="dry_run",
            total=counted.total,
            waiting=counted.waiting,
            done=0,
            created_at=None,
            finished_at=None,
        )
    with transaction() as session:
        webhook = own_webhook(webhook_id)
        return schemas.replay(replays.start(session, webhook, time_range, counted.total), webhook.uid)


@blueprint.operation("GET", f"{WEBHOOK}/replay", access=READ, response=schemas.ReplayResponse)
def show_replay(webhook_id: str) -> schemas.ReplayResponse:
    """Show the latest replay of a webhook and its progress."""
    return _latest(own_webhook(webhook_id))


@blueprint.operation("DELETE", f"{WEBHOOK}/replay", access=WRITE, response=schemas.ReplayResponse)
def stop_replay(webhook_id: str) -> schemas.ReplayResponse:
    """Stop the replay of a webhook. Events that are already queued are still sent."""
    with transaction() as session:
        webhook = own_webhook(webhook_id)
        replays.stop(session, webhook.id)
        return _latest(webhook)


def _latest(webhook: Webhook) -> schemas.ReplayResponse:
    found = replays.latest(db.session(), webhook.id)
    if found is None:
        raise NotFound("This webhook has no replays.")
    return schemas.replay(found, webhook.uid)


@blueprint.operation("GET", f"{WEBHOOK}/parked", access=READ, response=schemas.Parked)
def show_parked(webhook_id: str) -> schemas.Parked:
    """Show how many events are parked at a webhook, and what is being done with them."""
    return _parked(own_webhook(webhook_id))


@blueprint.operation(
    "POST", f"{WEBHOOK}/parked/release", access=WRITE, response=schemas.Parked, status=202, errors=(409,)
)
def release_parked(webhook_id: str) -> schemas.Parked:
    """Send the parked events of a webhook that is on, oldest first.

    Until you decide, later events of the same bookings wait behind them, for up to an hour after the webhook
    was switched on.
    """
    return _decide(webhook_id, ParkedDecision.RELEASE)


@blueprint.operation("POST", f"{WEBHOOK}/parked/discard", access=WRITE, response=schemas.Parked, status=202)
def discard_parked(webhook_id: str) -> schemas.Parked:
    """Discard the parked events of a webhook; they stay in its log and can be resent."""
    return _decide(webhook_id, ParkedDecision.DISCARD)


def _decide(webhook_id: str, choice: ParkedDecision) -> schemas.Parked:
    with transaction() as session:
        webhook = own_webhook(webhook_id)
        resend.decide(session, webhook, choice)
    with transaction() as session:
        resend.continue_decision(session, webhook.id)
    return _parked(own_webhook(webhook_id))


def _parked(webhook: Webhook) -> schemas.Parked:
    db.session().refresh(webhook)
    count = log.counts(db.session(), [webhook.id], State.PARKED).get(webhook.id, 0)
    return schemas.parked(webhook, count)


@blueprint.operation(
    "GET",
    "/v2/events",
    access=READ,
    query=schemas.EventQuery,
    response=list[schemas.FeedEvent] | schemas.DaySummary,
    pagination=schemas.FeedInfo,
    errors=(410,),
)
def events(query: schemas.EventQuery) -> Page:
    """List every event of the host in order, whether or not a webhook subscribes to it.

    Lets a receiver make sure that it missed nothing: follow `pagination.next`, and no event is skipped or
    returned twice. Events are kept for 30 days, or for the server's RETENTION_DAYS; an older cursor returns
    410 `cursor_expired`, and `details.oldest` is the cursor to continue from.

    With `summary`, it returns what a day's DAILY_SUMMARY says, and `pagination.next` is where the day's
    events begin.
    """
    host_id = current_host().id
    if query.summary:
        made = summary_of(db.session(), current_host(), query.summary)
        shown = schemas.DaySummary.model_validate(made, by_alias=True, by_name=False)
        return Page(shown, schemas.FeedInfo(next=made["after"], has_more=bool(made["events"])))
    found = feed.page(db.session(), host_id, query.after, query.take)
    if query.wait and not found.events:
        found = _when_there_is_news(host_id, found, query)
    return Page(schemas.events(found), schemas.FeedInfo(next=found.next, has_more=found.has_more))


def _when_there_is_news(host_id: int, empty: FeedPage, query: schemas.EventQuery) -> FeedPage:
    key = api_key()
    if key is None:
        raise SignedOut
    with feed.places.taken(key.user_id) as free:
        if not free:
            return empty
        feed.wait_for_news(db.session(), host_id, empty.number, query.wait)
    READ.check()  # the key may have been revoked meanwhile
    return feed.page(db.session(), host_id, empty.next, query.take)
