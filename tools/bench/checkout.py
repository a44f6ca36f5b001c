"""A checkout with its worker, Valkey and database, of which one process records events."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from tools.bench.receiving import Receiving
from tools.faults.parts import PostgreSQL, Valkey, Worker, environment
from tools.faults.world import migrated_sqlite

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
LOOPBACK = "127.0.0.0/8,::1/128"


class Checkout:
    """The processes of one; `with Checkout(root, receiver) as checkout`."""

    def __init__(self, root: Path, receiver: Receiving, *, postgresql: bool = False) -> None:
        self.root = root.resolve()
        self.receiver = receiver
        self.name = "PostgreSQL" if postgresql else "SQLite"
        self.kind = postgresql
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        folder = Path(tempfile.mkdtemp(prefix="calapp-b"))
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.server = PostgreSQL(folder) if self.kind else None
        own = {"REDIS_URL": f"unix://{folder}/valkey.sock", "RATE_LIMITS": "off"}
        own |= {"WEBHOOK_ALLOWED_NETWORKS": LOOPBACK, "WORKER_PROCESSES": "1"}
        if self.server:
            self.stack.callback(self.server.stop)
            own["DATABASE_URL"] = self.server.url
        variables = environment(folder, **own)
        self.valkey = Valkey(folder, variables)
        self.worker = Worker(folder, variables)
        self.worker.root = self.root
        self.stack.callback(self.valkey.stop)
        self.valkey.start()
        url = self.receiver.url(f"/ok/{folder.name}")
        if not self.server and self.root == ROOT:
            shutil.copy(migrated_sqlite(), folder / "calapp.sqlite3")
        self.log = folder / "recorder.log"
        with self.log.open("ab") as log:
            self.recorder = subprocess.Popen(
                [sys.executable, str(HERE.with_name("recorder.py")), str(self.root), url],
                cwd=self.root,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

        def end_recorder() -> None:
            try:
                self.recorder.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self.recorder.kill()
                self.recorder.communicate()

        self.stack.callback(end_recorder)
        self._heard()
        self.worker.start()
        self.stack.callback(self.worker.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def ask(self, *words: object) -> Any:
        """Have the recorder do something; return what it says."""
        assert self.recorder.stdin is not None
        self.recorder.stdin.write(json.dumps(words) + "\n")
        self.recorder.stdin.flush()
        return self._heard()

    def _heard(self) -> Any:
        assert self.recorder.stdout is not None
        while line := self.recorder.stdout.readline():
            if line.startswith(("[", "{", '"', "true", "false", "null")):  # else a line of its log
                return json.loads(line)
        raise RuntimeError(f"The recorder has ended: {self.log.read_text()[-2000:]}")

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each part so far."""
        spent = {"worker": seconds_of(self.worker.all()), "Valkey": seconds_of(self.valkey.all())}
        if self.server:
            main = psutil.Process(self.server.server.get_pid())
            spent["PostgreSQL"] = seconds_of([main, *main.children(recursive=True)])
        return spent

    def memory(self) -> int:
        """Return the bytes that the worker's processes hold; what they share is counted once (PSS)."""
        return sum(process.memory_full_info().pss for process in self.worker.all())


def seconds_of(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU seconds of processes, user and system, with those of children that have ended."""
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)
