"""Experiments with what is remembered: a webhook that is gone, clocks, secrets, a long backlog."""

import threading
import time
from collections import defaultdict
from datetime import UTC, datetime

from sqlalchemy import func, insert, select

from calapp.db import transaction
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, State
from calapp.mail import Email
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OffReason, Webhook
from tests.receiver import OK, answer
from tools.faults.parts import free_port
from tools.faults.report import Finding, experiment
from tools.faults.world import World

GONE = answer("410 Gone")
NEW_SECRET = "whsec_bmV3IHNlY3JldCBvZiB0aGUgZXhwZXJpbWVudCAhISE="


@experiment(12, "gone", "410: off at once, owner told, events parked; switched on again, sent in order")
def gone(finding: Finding, short: bool) -> None:
    count = 4 if short else 40
    with World() as world:
        webhook_id = world.webhook()
        world.worker.start()
        world.witness.answers["/hook"] = GONE
        world.book(1)
        world.wait(lambda: not webhook(world, webhook_id).active, 10)
        off = webhook(world, webhook_id)
        finding.expect("off at once", not off.active and off.off_reason == OffReason.GONE)
        world.book(count)
        world.cancel(world.uids())
        tried = len(world.witness.hits)
        parked = world.count(Delivery.state == State.PARKED)
        finding.expect(f"later events are parked: {parked}", parked == 2 * (count + 1))
        time.sleep(2)
        finding.expect("nothing more is sent", len(world.witness.hits) == tried == 1)
        finding.expect("the owner is told, on the page and by mail", told_within(world, 25))
        world.witness.answers["/hook"] = OK
        switch_on(world, webhook_id)
        world.wait_delivered()
        finding.expect("each booking's events came in their order", in_order(world))
        world.judge(finding, doubles=1)


def webhook(world: World, webhook_id: int) -> Webhook:
    """Return a webhook as it stands by now."""
    return world.session().get_one(Webhook, webhook_id)


def told_within(world: World, seconds: float) -> bool:
    """Wait for the notice and the mail to the owner."""

    def told() -> bool:
        session = world.session()
        notices = session.scalars(select(Notice.text)).all()
        mails = session.scalars(select(Email.body).where(Email.subject.contains("webhook"))).all()
        return len(notices) == len(mails) == 1 and "410" in notices[0] and "410" in mails[0]

    world.wait(told, seconds)
    return told()


def switch_on(world: World, webhook_id: int) -> None:
    """Switch a webhook on and send what is parked, as a host does."""
    host, path = world.signed_in(), f"/integrations/webhooks/{webhook_id}"
    world.submit(host, f"{path}/toggle", {"active": "1"}, page="/integrations")
    world.submit(host, f"{path}/parked", {"parked": "send"})


def in_order(world: World) -> bool:
    """Return whether each booking's last events came as they happened: created, cancelled."""
    came: dict[str, list[str]] = defaultdict(list)
    for hit in world.witness.hits:
        came[hit.uid].append(hit.trigger)
    return all(one[-2:] == ["BOOKING_CREATED", "BOOKING_CANCELLED"] for one in came.values())


@experiment(13, "clocks", "the worker's clock an hour ahead and an hour back", long=True)
def clocks(finding: Finding, short: bool) -> None:
    for postgresql in (False, True):
        with World(postgresql=postgresql, staged=True, WEBHOOK_TIMEOUT="2") as world:
            finding.note("PostgreSQL" if postgresql else "SQLite")
            move_clocks(finding, world)


def move_clocks(finding: Finding, world: World) -> None:
    """Move the worker's clock between tries and with deliveries in flight; nothing may come of it."""
    world.webhook()
    world.worker.start()
    world.book(8)
    world.wait_delivered()
    world.witness.delay = 1.0
    for hours in (1, -1, 0):
        world.witness.answers["/hook"] = answer("500 Internal Server Error")
        world.book(4)
        world.wait(lambda: len(world.witness.hits) > 8, 10)
        world.move_clock(3600 * hours)  # between tries
        time.sleep(2.0)
        world.witness.answers["/hook"] = OK
        world.book(16, threads=8)
        time.sleep(0.3)
        world.move_clock(0)  # and with some in flight
        time.sleep(3.0)
    world.witness.delay = 0.0
    world.wait_delivered(60)
    tries = world.session().scalar(select(func.count()).select_from(Attempt))
    finding.note(f"{tries} tries for {world.count(Delivery.id > 0)} deliveries")
    finding.expect(
        "no storm: at most five tries for each delivery", tries <= 5 * world.count(Delivery.id > 0)
    )
    finding.expect("all is delivered, and stays so", world.all_delivered())
    successes = world.session().scalars(
        select(func.count()).where(Attempt.status == 200).group_by(Attempt.delivery_id)
    )
    finding.expect("none was taken twice", set(successes) == {1})
    world.judge(finding, doubles=tries)


@experiment(
    14,
    "new-secret",
    "change the secret under load; receivers know the old one, the new one, or both",
    long=True,
)
def new_secret(finding: Finding, short: bool) -> None:
    with World() as world:
        ids = [world.webhook(f"/{name}") for name in ("hook", "old", "new")]
        world.witness.secrets["/new"] = NEW_SECRET
        world.worker.start()
        load = threading.Thread(target=lambda: world.book(150, threads=3, pause=0.05))
        change(ids[2:], NEW_SECRET)  # this receiver had its new one first
        load.start()
        time.sleep(2)
        change(ids[:2], NEW_SECRET)
        load.join()
        world.wait_delivered()
        bad = {
            path: sum(not hit.signed for hit in world.witness.of(path)) for path in ("/hook", "/old", "/new")
        }
        finding.expect(f"no check failed within the overlap: {bad}", not any(bad.values()))
        for path in ("/old", "/new"):
            finding.note(f"{path}: {world.tally(path)}")
        for webhook_id in ids:
            with transaction() as session:
                webhooks.use_only_new_secret(session.get_one(Webhook, webhook_id))
        before = len(world.witness.of("/old"))
        world.book(5)
        world.wait_delivered()
        after = [hit.signed for hit in world.witness.of("/old")[before:]]
        finding.expect("after it the old one signs nothing more", after == [False] * 5)


def change(ids: list[int], secret: str) -> None:
    """Change the secret of webhooks, as the box does."""
    for webhook_id in ids:
        with transaction() as session:
            webhooks.change_secret(session.get_one(Webhook, webhook_id), secret)


@experiment(
    15, "backlog", "100,000 waiting for a dead endpoint, one new booking for a healthy one", long=True
)
def backlog(finding: Finding, short: bool) -> None:
    with World(WEBHOOK_RETRY_SCHEDULE="600,600") as world:
        world.webhook()
        dead = world.webhook("/dead", url=f"http://127.0.0.1:{free_port()}/dead")
        pile_up(world, dead, 100_000)
        hanging = world.webhook("/never")
        pile_up(world, hanging, 100_000)
        world.witness.answers["/never"] = None
        world.worker.start()
        world.wait(lambda: len(world.attempts(dead)) >= 5 and world.witness.of("/never"), 30)
        took = [arrival(world) for _ in range(20)]
        finding.note(f"{len(world.attempts(dead))} tries at the dead endpoint")
        finding.expect(f"each booking arrives within a second: at most {max(took):.2f} s", max(took) < 1)
        world.judge(finding)


def arrival(world: World) -> float:
    """Book once; return the seconds until the receiver has the event."""
    before = len(world.witness.of("/hook"))
    began = time.monotonic()
    world.post()
    world.wait(lambda: len(world.witness.of("/hook")) > before, 10)
    return time.monotonic() - began


def pile_up(world: World, webhook_id: int, count: int) -> None:
    """Write so many events and deliveries that wait for a webhook."""
    at = datetime.now(UTC)
    with transaction() as session:
        first = session.scalar(select(func.coalesce(func.max(Event.id), 0))) + 1
        numbers = range(first, first + count)
        session.execute(insert(Event), [event_values(world, number, at) for number in numbers])
        session.execute(
            insert(Delivery),
            [
                {
                    "event_id": number,
                    "webhook_id": webhook_id,
                    "chain": f"pile-{number}",
                    "state": State.WAITING,
                    "due_at": at,
                    "created_at": at,
                }
                for number in numbers
            ],
        )


def event_values(world: World, number: int, at: datetime) -> dict[str, object]:
    return {
        "id": number, "uid": f"evt_pile_{number}", "user_id": world.host_id, "number": -number,
        "trigger": "BOOKING_CREATED", "chain": f"pile-{number}", "sequence": 1, "subject": f"pile-{number}",
        "search": "", "body": '{"triggerEvent": "BOOKING_CREATED", "payload": {}}', "created_at": at,
    }  # fmt: skip
