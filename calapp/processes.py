"""Processes that start others: none outlives the one that started it, however that one ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # where app.py is
# Says that standard input is a pipe whose other end the starting process holds, and never writes to.
FOLLOW = "CALAPP_STDIN_IS_STARTER"


def spawn(*arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start Python with these arguments in a session of its own; it can follow the process that called."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {FOLLOW: "1"} | environ,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches the one that started it, which stops the others in order
    )


def follow_starter(grace: float) -> None:
    """Stop when the process that spawned this one ends, at the latest `grace` seconds after it.

    Does nothing in a process that was started by hand.
    """
    if os.environ.pop(FOLLOW, None):
        threading.Thread(target=_follow, args=(grace,), daemon=True).start()


def _follow(grace: float) -> None:
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)


def end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask a process to stop, and kill it when it is still there after `grace` seconds."""
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
