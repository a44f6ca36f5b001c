"""What makes the tests quick and changes nothing that they show."""

import atexit
import gc
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache
from werkzeug.routing import Map, Rule

from calapp import website

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


def register_routes_once() -> None:
    """Share the map of all addresses among the apps of a process, until an app gets one of its own."""
    register_api, register_pages = website.register_api, website.register_pages
    maps: dict[tuple[tuple[str, str], ...], Map] = {}

    def register(app: Flask) -> None:
        before = tuple((rule.rule, rule.endpoint) for rule in app.url_map.iter_rules())
        if before in maps:
            app.url_map = maps[before]
            app.add_url_rule = lambda _rule, name, view, **_: app.view_functions.update({name: view})
        register_api(app)
        register_pages(app)
        maps[before] = app.url_map
        app.add_url_rule = partial(add_to_own_map, app)

    website.register_api, website.register_pages = lambda _app: None, register


def add_to_own_map(app: Flask, *arguments: Any, **named: Any) -> None:
    """Give an app that has a shared map one of its own, and add an address."""
    shared, app.url_map = app.url_map, app.url_map_class(host_matching=app.url_map.host_matching)
    app.url_map.converters = dict(shared.converters)
    for rule in shared.iter_rules():
        own = rule.empty()
        own.provide_automatic_options = rule.provide_automatic_options
        app.url_map.add(own)
    del app.add_url_rule
    app.add_url_rule(*arguments, **named)


def ask_servers_once() -> None:
    """Remember what SQLAlchemy asks a server of PostgreSQL at an engine's first connection."""
    initialize = PGDialect_psycopg.initialize
    known: dict[URL, dict[str, object]] = {}

    def remembered(dialect: PGDialect_psycopg, connection: Connection) -> None:
        address = connection.engine.url
        if address in known:
            dialect.__dict__.update(known[address])
            return
        before = dict(dialect.__dict__)
        initialize(dialect, connection)
        known[address] = {
            name: value for name, value in dialect.__dict__.items() if before.get(name) is not value
        }

    PGDialect_psycopg.initialize = remembered


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
