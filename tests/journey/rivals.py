"""Visitors in processes of their own, who all want the same time at the same moment."""

import multiprocessing
from collections.abc import Sequence
from threading import Barrier

from app import create_app
from calapp.config import Settings

Wish = tuple[str, str]  # address of an event type, start
Answer = tuple[int, str]  # status, page

FORM = {"name": "Ada Byron", "email": "ada@example.com", "time_zone": "Europe/London"}


def race(settings: Settings, wishes: Sequence[Sequence[Wish]]) -> list[list[Answer]]:
    """Let as many processes as there are lists of wishes book them at once; return what each was answered."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.journey.warm"])
    with context.Manager() as manager:
        ready = manager.Barrier(len(wishes))
        answers = manager.dict()
        rivals = [
            context.Process(target=_book, args=(settings, number, own, ready, answers))
            for number, own in enumerate(wishes)
        ]
        for rival in rivals:
            rival.start()
        for rival in rivals:
            rival.join()
        return [answers[number] for number in range(len(wishes))]


def _book(settings: Settings, number: int, wishes: Sequence[Wish], ready: Barrier, answers: dict) -> None:
    app = create_app(settings)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    visitor = app.test_client()
    visitor.get(wishes[0][0])  # connects, so that all of them are off at the same moment
    ready.wait(120)
    found = []
    for address, start in wishes:
        answer = visitor.post(address, data=FORM | {"start": start})
        found.append((answer.status_code, answer.text))
    answers[number] = found
