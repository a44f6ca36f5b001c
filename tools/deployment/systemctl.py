"""A stand-in for systemctl where no systemd runs, as in a chroot: it runs what the unit says.

Of a unit it follows User, WorkingDirectory, EnvironmentFile, StateDirectory with its mode, UMask,
LimitNOFILE, ExecStartPre, ExecStart, ExecReload, KillMode=mixed and TimeoutStopSec. It restarts nothing that
ends, and what a unit may not do (ProtectSystem and the like) it does not enforce. Python's standard library
only: Calapp is not installed where it runs.
"""

import os
import pwd
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
RUN, LOGS = Path("/run/stand-in"), Path("/var/log/stand-in")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"

Options = dict[str, list[str]]


def read_unit(name: str) -> Options:
    """Return the options of a unit's [Service], each with all of its values."""
    file = next(folder / name for folder in UNITS if (folder / name).exists())
    options: Options = {}
    section = ""
    for line in file.read_text().replace("\\\n", " ").split("\n"):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            options.setdefault(key.strip(), []).append(value.strip())
    return options


def environment(options: Options) -> dict[str, str]:
    """Return the environment that systemd gives: its own few variables, and those of the files."""
    user = pwd.getpwnam(options["User"][-1])
    found = {"PATH": PATH, "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    for file in options.get("EnvironmentFile", []):
        for line in Path(file).read_text().split("\n"):
            if line.strip() and line.strip()[0] not in "#;":
                name, value = line.split("=", 1)
                found[name.strip()] = "".join(shlex.split(value))
    for folder in options.get("StateDirectory", []):
        path = Path("/var/lib") / folder
        path.mkdir(exist_ok=True)
        path.chmod(int(options.get("StateDirectoryMode", ["0755"])[-1], 8))
        os.chown(path, user.pw_uid, user.pw_gid)
        found["STATE_DIRECTORY"] = str(path)
    return found


def launch(name: str, options: Options, command: str) -> subprocess.Popen[bytes]:
    """Start a command as the unit's user, in its folder and with its limits; what it prints goes to a log."""
    user = pwd.getpwnam(options["User"][-1])
    files = int(options["LimitNOFILE"][-1])
    files = min(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # who may raise it is not said here
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    LOGS.mkdir(exist_ok=True)
    with (LOGS / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            shlex.split(command),
            env=environment(options),
            cwd=options["WorkingDirectory"][-1],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            umask=int(options["UMask"][-1], 8),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def start(name: str) -> None:
    """Run what comes before, to its end, and start the service."""
    options = read_unit(name)
    for command in options.get("ExecStartPre", []):
        if code := launch(name, options, command).wait():
            sys.exit(f"{name}: {command} ended with {code}")
    RUN.mkdir(exist_ok=True)
    (RUN / name).write_text(str(launch(name, options, options["ExecStart"][-1]).pid))


def stop(name: str) -> None:
    """Ask the main process to stop; end all of its session when it takes too long."""
    try:
        pid = int((RUN / name).read_text())
    except FileNotFoundError:
        return
    until = time.monotonic() + float(read_unit(name)["TimeoutStopSec"][-1])
    number = signal.SIGTERM
    while Path(f"/proc/{pid}").exists() and "Z" not in state(pid):
        if number == signal.SIGTERM:
            os.kill(pid, number)
            number = signal.SIGKILL
        elif time.monotonic() > until:
            os.killpg(pid, number)
        time.sleep(0.1)
    (RUN / name).unlink()


def state(pid: int) -> str:
    """Return the letter of a process' state: Z for one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def reload(name: str) -> None:
    """Run what the unit says for a reload."""
    pid = (RUN / name).read_text()
    for command in read_unit(name)["ExecReload"]:
        subprocess.run(shlex.split(command.replace("$MAINPID", pid)), check=True)


def restart(name: str) -> None:
    stop(name)
    start(name)


ACTIONS = {"start": start, "enable": start, "stop": stop, "restart": restart, "reload": reload}

if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words[0] != "daemon-reload":
        for one in words[1:]:
            ACTIONS[words[0]](one if "." in one else f"{one}.service")
