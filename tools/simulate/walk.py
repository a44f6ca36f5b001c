"""One seeded walk: what happens next is drawn from the seed, and everything is checked after each step."""

from datetime import timedelta

from flask import Flask

from calapp import clock
from calapp import maintenance as upkeep
from calapp.db import db, transaction
from calapp.deliveries import maintenance
from calapp.direct import Direct
from tools.simulate.bookings import BookingActs
from tools.simulate.receivers import BEHAVIOURS
from tools.simulate.seen import Broken
from tools.simulate.webhooks import WebhookActs
from tools.simulate.world import SCHEDULE, Worker

# Tasks that have nothing to do with deliveries, and one that goes with "cleanup".
LEFT_OUT = {"calendars", "emails", "calendar copies", "webhooks"}
SETTLES = 400  # steps within which everything must calm down
STEPS = 40
WORN_OUT = 0.25  # of the walks go on with their receivers as they are before everything works


class Walk(BookingActs, WebhookActs):
    """The walk of one seed: time, workers, maintenance and receivers; the rest is in its base classes."""

    def __init__(self, app: Flask, seed: int) -> None:
        super().__init__(app, seed)
        self.world.on_sees = self.checks.claimed
        self.world.on_sent = self._sent
        self.world.clock.passing = self.checks.passing

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
        task = next(task for task in self.tasks if task.name == name)
        due = task.when is None or task.when.run(Direct(db.engine), now=clock.now())
        if due:
            task.run()
            if name == "cleanup":
                upkeep.look_after_webhooks()

    def _due_tasks(self) -> None:
        for task in self.tasks:
            if task.lane in {"look", "due", "sending again"}:
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
