"""Where a listener stands in the feed of a server, kept in a small file across restarts."""

import fcntl
import hashlib
import json
from pathlib import Path
from typing import IO

from calapp.deliveries.signing import new_secret

TAKEN = (
    "Another listener follows this server with this key already. "
    "Please stop it, or make a key for each with: flask create-api-key NAME"
)


class Taken(Exception):
    """Another process has this place; the message is a sentence."""


class Place:
    """A listener's cursor, and the secret that was made for it; by server and key, never the key itself."""

    def __init__(self, folder: Path, server: str, key: str) -> None:
        name = hashlib.sha256(f"{server}\n{key}".encode()).hexdigest()[:16]
        self.server = server
        self.file = folder / f"{name}.json"
        self.lock: IO[str] | None = None
        self.cursor: str | None = None
        self.secret = new_secret()

    def open(self) -> None:
        """Take the place for this process and read where it is; raise Taken when another has it."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = self.file.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise Taken(TAKEN) from None
        self._read()

    def close(self) -> None:
        """Leave the place to the next process."""
        if self.lock is not None:
            self.lock.close()

    def move(self, cursor: str) -> None:
        """Note that everything up to this cursor has been forwarded."""
        if cursor == self.cursor:
            return
        self.cursor = cursor
        draft = self.file.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps({"server": self.server, "cursor": cursor, "secret": self.secret}))
        draft.replace(self.file)  # whole or not at all, whenever this process ends

    def _read(self) -> None:
        try:
            kept = json.loads(self.file.read_text())
            self.cursor, self.secret = str(kept["cursor"]), str(kept["secret"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # the first start, or a file that somebody has changed
