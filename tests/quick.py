"""What makes the tests quick and changes nothing that they show."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache
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
    """Share what Werkzeug compiles of an address among the apps of a process: 60 of 70 ms of making one."""
    compile_rule = Rule.compile
    compiled: dict[tuple[object, ...], Rule] = {}

    def remembered(rule: Rule) -> None:
        of_map = (rule.map.host_matching, rule.map.merge_slashes, tuple(rule.map.converters.items()))
        key = (rule.rule, rule.host, rule.subdomain, rule.merge_slashes, repr(rule.defaults), of_map)
        first = compiled.get(key)
        if first is None:
            compile_rule(rule)
            compiled[key] = rule
            return
        rule._parts, rule._trace, rule._converters = first._parts, first._trace, first._converters
        rule.arguments |= first.arguments
        rule._build = first._build.__func__.__get__(rule, None)
        rule._build_unknown = first._build_unknown.__func__.__get__(rule, None)

    Rule.compile = remembered


def compile_statements_once() -> None:
    """Share what SQLAlchemy compiles among the engines of a process, each of which belongs to one test."""
    DefaultDialect.__eq__ = lambda one, other: type(one) is type(other)
    DefaultDialect.__hash__ = lambda one: hash(type(one))
    statements = LRUCache(2000)

    @event.listens_for(Engine, "engine_connect")
    def share(connection: Connection) -> None:
        connection.engine._compiled_cache = statements


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


def collect_garbage_seldom() -> None:
    """Leave alone what was imported, which stays, and look for cycles a hundred times as seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(70_000, 10, 10)
