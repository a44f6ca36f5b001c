"""What makes the tests quick and changes nothing that they show."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.routing import Rule

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30  # bytes; the files of a run take a tenth of it


def work_in_memory() -> None:
    """Put a run's temporary files into memory where there is room; every commit would wait for the disk.

    The processes of the run inherit the folder. What failed tests wrote is kept by pytest, beside it.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="calapp-", dir=MEMORY)
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def compile_routes_once() -> None:
    """Share what Werkzeug compiles of an address among the apps of a process: 50 of 60 ms of making one."""
    compile_builder = Rule._compile_builder
    rules: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}

    def remembered(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (rule.rule, tuple(rule._trace), tuple((rule.defaults or {}).items()), append_unknown)
        if key not in rules:
            rules[key] = compile_builder(rule, append_unknown)
        return rules[key]

    Rule._compile_builder = remembered


class Remembered(BytecodeCache):
    """What Jinja compiled, kept for the other apps of this process."""

    def __init__(self) -> None:
        self.codes: dict[tuple[str, str], object] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self.codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.codes[bucket.key, bucket.checksum] = bucket.code


def compile_templates_once() -> None:
    """Share compiled templates among the apps of a process: 20 ms for each template of each app."""
    Flask.jinja_options["bytecode_cache"] = Remembered()
