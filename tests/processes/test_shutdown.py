"""A process at rest: a signal that asks for a stop ends the rest, as does the end of a child."""

import subprocess
import sys

import pytest

from tests.running import ROOT

BEGIN = """
import os, signal, threading, time
from calapp.shutdown import rest, stop_on, stop_requested, watch_children

def end(*words):
    rested = time.monotonic() - began
    print(*words, "soon" if rested < 10 else rested, "cheap" if time.process_time() - spent < 0.1 else "dear")
    os._exit(0)

def ask_after(seconds):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

stop_on(signal.SIGTERM)
began, spent = time.monotonic(), time.process_time()
"""
ASKED = "threading.Thread(target=ask_after, args=(1,), daemon=True).start(); rest(60); end(stop_requested())"
# The signal is taken by the other thread, so that nothing interrupts what this one waits in.
BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]);" + ASKED
ASKED_BEFORE = "os.kill(os.getpid(), signal.SIGTERM); rest(60); end(stop_requested())"
CHILD_ENDS = """
watch_children()
if os.fork() == 0:
    time.sleep(0.5)
    os._exit(0)
rest(60)
end(not stop_requested())
"""
# The signal to the one that forked does not end the rest of the other.
CHILD_RESTS = """
if os.fork() == 0:
    stop_on(signal.SIGTERM)
    os.kill(os.getppid(), signal.SIGTERM)
    rest(1)
    os._exit(3 if time.monotonic() - began > 0.9 and not stop_requested() else 4)
rest(60)
end(stop_requested() and os.waitstatus_to_exitcode(os.wait()[1]) == 3)
"""


@pytest.mark.parametrize("rests", [ASKED, BLOCKED, ASKED_BEFORE, CHILD_ENDS, CHILD_RESTS])
def test_a_rest_costs_nothing_and_ends_with_the_signal(rests: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + rests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.stdout == "True soon cheap\n", ran.stderr
