"""One seeded walk: what happens next is drawn from the seed, and everything is checked after each step."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from flask import Flask

from calapp import maintenance as upkeep
from calapp.bookings import changes
from calapp.bookings import service as bookings
from calapp.bookings.schemas import BookingRequest, RescheduleRequest
from calapp.db import db, transaction
from calapp.deliveries import maintenance, resend
from calapp.deliveries.models import Delivery
from calapp.deliveries.outbox import TemplateChoice
from calapp.errors import AppError
from calapp.event_types.models import EventType
from calapp.privacy.service import erase_visitor
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OffReason, ParkedDecision, Webhook
from tools.simulate import model
from tools.simulate.checks import Broken, Checks
from tools.simulate.receivers import BEHAVIOURS
from tools.simulate.world import SCHEDULE, SECRETS, Hook, Killed, Worker, World

TEMPLATES = ('{"event": {{triggerEvent}}}', '{"at": {{createdAt}}, "who": {{payload.attendees}}}')
VISITORS = ("ada@example.com", "bea@example.com", "cyd@example.com")
LEFT_OUT = {"calendars", "emails", "calendar copies"}  # tasks that have nothing to do with deliveries
SETTLES = 400  # steps within which everything must calm down
STEPS = 40
WORN_OUT = 0.25  # of the walks go on with their receivers as they are before everything works


class Walk:
    """The walk of one seed; `trace` has a line for each thing that was done."""

    def __init__(self, app: Flask, seed: int) -> None:
        self.rng = random.Random(seed)
        random.seed(seed)  # what spreads the product's delays
        self.seed = seed
        self.world = World(app, self.rng)
        self.checks = Checks(self.world)
        self.world.on_sees = self.checks.claimed
        self.world.on_sent = self._sent
        self.world.clock.passing = self.checks.passing
        self.checks.kinds = self.kinds = {}
        self.meetings: dict[str, model.Meeting] = {}  # by uid
        self.chains: dict[str, str] = {}  # uid: chain
        self.trace: list[str] = []
        self.taken = 0

    def say(self, words: str) -> None:
        self.trace.append(f"{self.world.clock.passed:12.2f} s  {words}")

    def _sent(self, flight: object) -> None:
        self.checks.sent(flight)  # type: ignore[arg-type]
        request = flight.request  # type: ignore[attr-defined]
        how = self.world.receivers[request.url].behaviour
        self.say(
            f"    {flight.worker} sends delivery {request.delivery_id}, attempt {request.number}, "  # type: ignore[attr-defined]
            f"to webhook {request.webhook_id}, which {how}"
        )

    def run(self, steps: int = STEPS) -> None:
        """Walk; raise Broken when an invariant does not hold."""
        with self.world.going():
            self.tasks = [task for task in upkeep.tasks() if task.name not in LEFT_OUT]
            self._begin()
            for _ in range(steps):
                self._act()
            if self.rng.random() < WORN_OUT:
                self._wear_out()
            self._settle()

    def _begin(self) -> None:
        healthy = self.world.add_hook(healthy=True)
        self.say(f"webhook {healthy.id} always works")
        for _ in range(self.rng.randint(1, 3)):
            self._add_webhook()
        self.start_worker()

    # What happens

    def _act(self) -> None:
        names, weights = zip(*WEIGHTS.items(), strict=True)
        name = self.rng.choices(names, weights)[0]
        getattr(self, name)()
        self.checks.step()
        for _ in range(self.rng.choice((0, 1, 2, 4, 8))):
            self.go_on()

    def go_on(self) -> bool:
        """Let one worker that can go on do so, or a little time pass; return whether anybody could."""
        ready = [worker for worker in self.world.living() if worker.ready()]
        if ready:
            self._run(self.rng.choice(ready))
            return True
        moments = [worker.until for worker in self.world.living() if worker.until is not None]
        if moments:
            self.world.clock.go_on(min(min(moments) - self.world.clock.monotonic(), 12.0))
            self.checks.step()
        return False

    def _run(self, worker: Worker) -> None:
        self.world.pauses_after_look = self.rng.random() < 0.2
        worker.go_on()
        if worker.over and not worker.killed and not worker.stopping:
            raise Broken(f"{worker.name} ended by itself")
        if worker.killed:
            worker.kill()  # in a commit
            self.say(f"{worker.name} died in a commit")
        self.checks.step(by_worker=True)

    # Time and workers

    def pass_time(self) -> None:
        seconds = self.rng.choice((0.05, 1.0, 5.0, 10.0, 30.0, 120.0, 600.0))
        self.say(f"{seconds} s pass")
        left = seconds
        while left > 0:
            part = min(left, 10.0 if left < 60 else 200.0)
            left -= part
            self.world.clock.go_on(part)
            self._due_tasks()
            for _ in range(6):
                if not any(worker.ready() for worker in self.world.living()):
                    break
                self.go_on()

    def pass_a_day(self) -> None:
        hours = self.rng.choice((1, 6, 24, 72))
        self.say(f"{hours} hours pass")
        self.world.clock.go_on(3600.0 * hours)

    def set_clock(self) -> None:
        seconds = self.rng.choice((-3600.0, -90.0, -20.0, 30.0, 3600.0))
        self.say(f"the clock is set by {seconds:+.0f} s")
        self.task("clock")
        self.world.clock.set_wall(seconds)
        self.checks.leases_hold = False
        self.checks.set_back += timedelta(seconds=max(0.0, -seconds))
        self.checks.limits.clear()
        self.task("clock")

    def start_worker(self) -> None:
        if len(self.world.living()) < 2:
            self.say(f"{self.world.start_worker().name} starts")

    def stop_worker(self) -> None:
        if living := self.world.living():
            worker = self.rng.choice(living)
            self.say(f"{worker.name} is asked to stop; it {worker.where}")
            worker.stopping = True
            worker.sender.wake()

    def kill_worker(self) -> None:
        if living := self.world.living():
            worker = self.rng.choice(living)
            way = self.rng.choice(("now", "in its next commit", "after its next commit"))
            self.say(f"{worker.name} is killed {way}; it {worker.where}")
            if way == "now":
                worker.kill()
            elif way == "in its next commit":
                worker.dies_in_commit = True
            else:
                worker.dies_after_commit = True

    def change_wakes(self) -> None:
        self.world.wakes = self.rng.choice(("heard", "lost"))
        self.say(f"wakes are {self.world.wakes}")

    def wake_again(self) -> None:
        for worker in self.world.living():
            worker.sender.wake()
        self.say("everybody is woken")

    def task(self, name: str) -> None:
        next(task for task in self.tasks if task.name == name).run()

    def _due_tasks(self) -> None:
        for task in self.tasks:
            if task.lane in {"due", "sending again"}:
                self._task(task.name)
        self.checks.step()

    def maintain(self) -> None:
        name = self.rng.choice([task.name for task in self.tasks])
        self.say(f"maintenance: {name}")
        self._task(name)

    def _task(self, name: str) -> None:
        since = self.world.highest("id", "event")
        expected = []
        if name == "meetings":
            now = self.world.wall()
            expected = [
                (self.chains[uid], trigger)
                for uid, meeting in self.meetings.items()
                for trigger in meeting.come_due(now)
            ]
        self.task(name)
        if name == "meetings":
            self.checks.events(since, expected)

    def prune(self) -> None:
        self.say("old attempts and bodies are pruned")
        with transaction() as session:
            maintenance.prune(session)

    # Receivers

    def change_receiver(self) -> None:
        hooks = [hook for hook in self.world.hooks.values() if not hook.healthy]
        hook = self.rng.choice(hooks)
        receiver = self.world.receivers[hook.url]
        receiver.behaviour = self.rng.choice(["accepts", "accepts", *BEHAVIOURS])
        receiver.retry_after = self.rng.choice((0, 1, 20, 400))
        self.say(f"the receiver of webhook {hook.id} {receiver.behaviour}")

    # Bookings

    def _free_start(self) -> datetime:
        self.taken += 1
        return (self.world.wall() + timedelta(hours=1 + self.taken % 40)).replace(
            minute=0, second=0, microsecond=0
        ) + timedelta(minutes=15 * (self.taken % 4))

    def _change(
        self, words: str, act: Callable[[], str | None], expected: Callable[[], str | None]
    ) -> str | None:
        """Do something that writes an event; return the uid that it made, or None when it was refused.

        `expected` has the model do the same; it is asked only when the transaction is committed or refused.
        """
        since = self.world.highest("id", "event")
        self.world.user_dies_in_commit = dies = self.rng.random() < 0.08
        made, refused = None, False
        try:
            made = act()
        except Killed:
            self.say(f"{words}: the web server dies in the commit")
            self.checks.events(since, [])
            return None
        except AppError as error:
            refused = True
            words += f": refused ({type(error).__name__})"
        finally:
            self.world.user_dies_in_commit = False
            db.session().rollback()
        trigger = expected()
        self.say(
            words + (f": {trigger}" if trigger else "") + (" (a death was due)" if dies and refused else "")
        )
        if (trigger is None) != refused:
            raise Broken(f"{words}: the model gives {trigger}")
        if trigger is not None and made is not None:
            self.checks.events(since, [(self.chains.get(made, made), trigger)])
        else:
            self.checks.events(since, [])
        return made

    def book(self) -> None:
        kind = self.rng.choice(self.world.event_types)
        start, visitor = self._free_start(), self.rng.choice(VISITORS)
        asks = kind == self.world.event_types[1]

        def act() -> str:
            request = BookingRequest.model_validate(
                {
                    "start": start,
                    "attendee": {"name": "Visitor", "email": visitor, "timeZone": "UTC"},
                }
            )
            with transaction() as session:
                uid = bookings.book(session, session.get_one(EventType, kind), request).uid
                self.kinds[uid] = kind
            return uid

        trigger, meeting = model.book(start, asks=asks)
        if any(one.starts_at == start for one in self.meetings.values()):
            return
        if uid := self._change(f"{visitor} books {start:%d %H:%M}", act, lambda: trigger):
            self.meetings[uid], self.chains[uid] = meeting, uid

    def _pick(self) -> str | None:
        current = [uid for uid, one in self.meetings.items() if one.status in {"pending", "accepted"}]
        if current and self.rng.random() < 0.9:
            return self.rng.choice(current)
        return self.rng.choice(list(self.meetings)) if self.meetings else None

    def _number(self, uid: str) -> int:
        return list(self.meetings).index(uid) + 1

    def move(self) -> None:
        if (uid := self._pick()) is None:
            return
        start = self._free_start()
        if any(one.starts_at == start for one in self.meetings.values()):
            return
        moved: list[model.Meeting] = []

        def act() -> str:
            request = RescheduleRequest.model_validate({"start": start})
            with transaction() as session:
                made = bookings.reschedule(session, self.world.booking(uid), request, by=VISITORS[0]).uid
            self.chains[made] = self.chains[uid]
            return made

        def expected() -> str | None:
            found = self.meetings[uid].move(start, self.world.wall())
            if found is None:
                return None
            moved.append(found[1])
            return found[0]

        if made := self._change(f"booking {self._number(uid)} is moved", act, expected):
            self.meetings[made] = moved[0]

    def _act_on(self, words: str, act: Callable[[str], None], expected: Callable[[str], str | None]) -> None:
        if (uid := self._pick()) is None:
            return

        def do() -> str:
            with transaction():
                act(uid)
            return uid

        self._change(f"booking {self._number(uid)} is {words}", do, lambda: expected(uid))

    def cancel(self) -> None:
        self._act_on(
            "cancelled",
            lambda uid: bookings.cancel(db.session(), self.world.booking(uid), by=VISITORS[0], reason=""),
            lambda uid: self.meetings[uid].cancel(self.world.wall()),
        )

    def confirm(self) -> None:
        self._act_on(
            "confirmed",
            lambda uid: bookings.confirm(db.session(), self.world.booking(uid)),
            lambda uid: self.meetings[uid].confirm(self.world.wall()),
        )

    def reject(self) -> None:
        self._act_on(
            "rejected",
            lambda uid: bookings.reject(db.session(), self.world.booking(uid), ""),
            lambda uid: self.meetings[uid].reject(self.world.wall()),
        )

    def mark_absent(self) -> None:
        """Mark the visitor of a meeting that has begun, or take it back."""
        begun = [uid for uid, one in self.meetings.items() if one.starts_at <= self.world.wall()]
        if not begun:
            return
        uid, absent = self.rng.choice(begun), self.rng.random() < 0.7
        if uid in self.erased or self.meetings[uid].absent == absent:
            return

        def do() -> str:
            with transaction() as session:
                booking = self.world.booking(uid)
                changes.mark_no_show(session, booking, booking.attendees[0].email, absent=absent)
            return uid

        self._change(
            f"the visitor of booking {self._number(uid)} was {'not ' * absent}there",
            do,
            lambda: self.meetings[uid].mark_absent(absent=absent, now=self.world.wall()),
        )

    erased: set[str] = set()

    def erase(self) -> None:
        visitor = self.rng.choice(VISITORS)
        self.say(f"{visitor} is erased")
        with transaction() as session:
            erase_visitor(session, visitor)
        self.erased = self.erased | set(self.meetings)

    # Webhooks

    def _touchable(self) -> list[Hook]:
        return [hook for hook in self.world.hooks.values() if not (hook.healthy or hook.deleted)]

    def _add_webhook(self) -> None:
        kind = self.rng.choice((None, None, *self.world.event_types))
        triggers = self.rng.choice(((), (), ("BOOKING_CREATED", "BOOKING_CANCELLED")))
        wide = [one for one in self._touchable() if one.event_type_id is None]
        shared = kind is not None and wide and self.rng.random() < 0.4
        url = self.rng.choice(wide).url if shared else None
        if any((one.url, one.event_type_id) == (url, kind) for one in self._touchable()):
            url = None
        hook = self.world.add_hook(kind, triggers=triggers, url=url)
        self.say(f"webhook {hook.id} is added" + f" for event type {kind}" * (kind is not None))

    def add_webhook(self) -> None:
        if len(self._touchable()) < 4:
            self._add_webhook()

    def _with_webhook(self, words: str, act: Callable[[Webhook, Hook], None]) -> None:
        if not (hooks := self._touchable()):
            return
        hook = self.rng.choice(hooks)
        with transaction() as session:
            act(session.get_one(Webhook, hook.id), hook)
        self.say(f"webhook {hook.id} {words}")

    def switch_off(self) -> None:
        self._with_webhook("is switched off", lambda row, _: webhooks.switch_off(row, OffReason.HOST))

    def switch_on(self) -> None:
        self._with_webhook("is switched on", lambda row, _: webhooks.switch_on(row))

    def edit_url(self) -> None:
        def act(row: Webhook, hook: Hook) -> None:
            number = len(self.world.receivers) + 1
            url = f"https://receiver{number}.example/moved"
            self.world.receivers[url] = type(self.world.receivers[hook.url])()
            row.subscriber_url = hook.url = url
            webhooks.forget_failures(row)

        self._with_webhook("has another URL", act)

    def change_secret(self) -> None:
        def act(row: Webhook, hook: Hook) -> None:
            secret = SECRETS[1] if hook.secrets == (SECRETS[0],) else SECRETS[0]
            webhooks.change_secret(row, secret, 0)
            hook.secrets = (secret,)

        self._with_webhook("has another secret", act)

    def edit_template(self) -> None:
        text = self.rng.choice((None, *TEMPLATES))

        def act(row: Webhook, _: Hook) -> None:
            row.payload_template = text

        self._with_webhook(f"has the payload template {text}", act)

    def limit_rate(self) -> None:
        limit = self.rng.choice((None, 1, 3, 10))

        def act(row: Webhook, _: Hook) -> None:
            row.max_per_second = limit
            self.checks.limit(row.id, limit)

        self._with_webhook(f"takes {limit or 'any number of'} requests a second", act)

    def delete_webhook(self) -> None:
        def act(row: Webhook, hook: Hook) -> None:
            webhooks.delete(row)
            hook.deleted = True

        self._with_webhook("is deleted", act)

    def decide_parked(self) -> None:
        choice = self.rng.choice(
            (ParkedDecision.RELEASE, ParkedDecision.RELEASE, ParkedDecision.DISCARD, None)
        )
        try:
            self._with_webhook(
                f"has its parked events decided: {choice}",
                lambda row, _: resend.decide(db.session(), row, choice),
            )
        except AppError:
            self.say("parked events cannot be sent while the webhook is off")

    def send_now(self) -> None:
        ids = [row.id for row in self.world.read("SELECT id FROM delivery ORDER BY id")]
        if not ids:
            return
        chosen, choice = self.rng.choice(ids), self.rng.choice((None, *TemplateChoice))
        try:
            with transaction() as session:
                resent = resend.resend(session, session.get_one(Delivery, chosen), choice)
                self.checks.rendered_again(resent, choice)
        except AppError as error:
            self.say(f"delivery {chosen} cannot be resent ({type(error).__name__})")
        else:
            self.say(f"delivery {chosen} is resent")

    def replay(self) -> None:
        if not (hooks := self._touchable()):
            return
        hook = self.rng.choice(hooks)
        now = self.world.wall()
        time_range = resend.TimeRange(
            from_at=now - timedelta(hours=self.rng.choice((1, 100))),
            to_at=now,
            only_failed=self.rng.random() < 0.5,
        )
        total = resend.count(db.session(), hook.id, time_range).total
        try:
            with transaction() as session:
                resend.start(session, session.get_one(Webhook, hook.id), time_range, total)
        except AppError as error:
            self.say(f"no replay of webhook {hook.id} ({type(error).__name__})")
        else:
            self.checks.probing.pop(hook.id, None)  # its backoff is over
            self.say(f"{total} events of webhook {hook.id} are replayed")

    def stop_replay(self) -> None:
        if hooks := self._touchable():
            hook = self.rng.choice(hooks)
            with transaction() as session:
                resend.stop(session, hook.id)
            self.say(f"a replay of webhook {hook.id} is stopped")

    # The end

    def _wear_out(self) -> None:
        """Let the receivers go on as they do, so that what fails comes to the end of its schedule."""
        self.say("everything goes on as it is")
        self.start_worker()
        for _ in range(3 * len(SCHEDULE)):
            self._run_ready()
            self._due_tasks()
            self.checks.step()
            if self._calm():
                break
            self.world.clock.go_on(min(self._until_next(), float(SCHEDULE[-1])))

    def _settle(self) -> None:
        """Let everything calm down: receivers that accept, workers that live; expect that nothing is left."""
        self.say("from here on everything works")
        for receiver in self.world.receivers.values():
            receiver.behaviour, receiver.retry_after = "accepts", 0
        self.world.wakes = "heard"
        for worker in self.world.living():
            worker.stopping = True
        self._run_ready()
        self.world.clock.go_on(6.0)
        self._run_ready()
        for worker in self.world.living():
            worker.kill()
        self.start_worker()
        for turn in range(SETTLES):
            self._run_ready()
            self._due_tasks()
            if turn % 5 == 0:
                self.task("cleanup")
            self.checks.step()
            self._run_ready()
            if self._calm():
                break
            self.world.clock.go_on(self._until_next())
        self.checks.step()
        self.checks.rest()
        self.say(f"at rest: {len(self.checks.by_key)} requests, {len(self.checks.stored)} in the log")

    def _run_ready(self) -> None:
        for _ in range(500):
            ready = [worker for worker in self.world.living() if worker.ready()]
            if not ready:
                out = [flight.ends for one in self.world.living() for flight in one.sender.out]
                if not out:
                    return
                self.world.clock.go_on(min(out) - self.world.clock.monotonic())
                continue
            self._run(ready[0])

    def _calm(self) -> bool:
        left = self.world.read("""SELECT id FROM delivery WHERE state = 'waiting'
          UNION ALL SELECT delivery.id FROM delivery JOIN webhook ON webhook.id = webhook_id
            WHERE deleted_at IS NOT NULL AND state = 'parked'
          UNION ALL SELECT id FROM webhook WHERE settling IS NOT NULL""")
        return not left

    def _until_next(self) -> float:
        """Return the seconds until something that waits may be sent."""
        rows = self.world.read("""SELECT due_at, hold_until, asked_until FROM delivery
          JOIN webhook ON webhook.id = webhook_id WHERE state = 'waiting' AND due_at IS NOT NULL""")
        moments = [max(moment for moment in row if moment is not None) for row in rows]
        if not moments:
            return 1.0
        return max(0.5, (min(moments) - self.world.wall()).total_seconds())


# How often each thing happens.
WEIGHTS = {
    "book": 20,
    "move": 8,
    "cancel": 6,
    "confirm": 6,
    "reject": 2,
    "mark_absent": 2,
    "pass_time": 16,
    "pass_a_day": 2,
    "set_clock": 1,
    "start_worker": 8,
    "stop_worker": 2,
    "kill_worker": 5,
    "change_wakes": 2,
    "wake_again": 2,
    "maintain": 8,
    "prune": 1,
    "change_receiver": 14,
    "erase": 0.5,
    "add_webhook": 1,
    "switch_off": 3,
    "switch_on": 5,
    "edit_url": 1,
    "change_secret": 1,
    "edit_template": 1.5,
    "limit_rate": 1,
    "delete_webhook": 1,
    "decide_parked": 4,
    "send_now": 6,
    "replay": 3,
    "stop_replay": 1,
}
