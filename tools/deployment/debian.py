"""A bare Debian in a folder, with a user who may use sudo, and a network of its own for what is started.

Where systemd-nspawn is installed, the Debian is booted with its own systemd, so that the units do all they
say; else `systemctl.py` stands in for it.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
PACKAGES = "ca-certificates,sudo,systemd"  # what every Debian has that is not only a chroot
USER = "admin"
REPOSITORY = "/srv/calapp.git"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
SYSTEMD = "/usr/lib/systemd/systemd"
# Boots the folder that it is given. On a machine with both versions of cgroups, it is shown the second alone.
BOOT = """mount --make-rprivate /
umount --lazy /sys/fs/cgroup "$1/dev" "$1/proc"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec systemd-nspawn --quiet --register=no --keep-unit --console=passive --private-network -D "$1" --boot
"""
PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_PROXY")


class Debian:
    """Made with `with`; at its end what runs in it is ended, and it is removed unless it is to be kept."""

    def __init__(self, folder: Path, suite: str, mirror: str | None, *, keep: bool) -> None:
        self.folder = folder.resolve()
        self.suite = suite
        self.mirror = mirror
        self.keep = keep
        self.network = f"calapp-debian-{os.getpid()}"
        self.variables = {"REPOSITORY": REPOSITORY, "RECEIVER": "http://127.0.0.1:8099/hook"}
        self.systemd = shutil.which("systemd-nspawn") is not None
        self.machine: subprocess.Popen[bytes] | None = None
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        missing = [name for name in ("debootstrap", "ip", "chroot", "git") if not shutil.which(name)]
        if missing or os.geteuid():
            raise SystemExit(f"needs root and the programs {', '.join(missing) or 'debootstrap and ip'}")
        if not (self.folder / "etc" / "debian_version").exists():
            print(f"Making Debian {self.suite} in {self.folder} …", flush=True)
            words = [
                "debootstrap",
                "--variant=minbase",
                f"--include={PACKAGES}",
                self.suite,
                str(self.folder),
            ]
            run([*words, *([self.mirror] if self.mirror else [])], stdout=subprocess.DEVNULL)
        run(["ip", "netns", "add", self.network])
        run(["ip", "-n", self.network, "link", "set", "lo", "up"])
        self._prepare()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:  # an nsenter that is left stops with its child, and nobody reaps that
            process.kill()
            process.wait()
        if self.machine is not None:
            self._power_off(self.machine)
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (path / "root").readlink() == self.folder:
                    os.kill(int(path.name), signal.SIGKILL)
        for mounted in ("proc", "dev"):
            subprocess.run(["umount", "--lazy", str(self.folder / mounted)], check=False)
        subprocess.run(["ip", "netns", "del", self.network], check=False)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self) -> None:
        for name in ("etc/resolv.conf", CERTIFICATES):  # names and authorities that this machine knows
            shutil.copy(Path("/") / name, self.folder / name)
        given = {name: os.environ[name] for name in PIP if name in os.environ}
        options = {"cert": f"/{CERTIFICATES}"} | {
            name[4:].lower().replace("_", "-"): value for name, value in given.items()
        }
        self.write("etc/pip.conf", "[global]\n" + "".join(f"{key} = {one}\n" for key, one in options.items()))
        self.write("etc/hosts", f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n")
        # Nothing starts while packages are installed: here that would be in the network of this machine.
        self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        stand_in = self.folder / "usr" / "local" / "bin" / "systemctl"
        stand_in.unlink(missing_ok=True)
        if not self.systemd:
            text = (HERE / "systemctl.py").read_text()
            self.write("usr/local/bin/systemctl", f"#!/usr/bin/python3\n{text}", 0o755)
        for kind, source, name in (("proc", "proc", "proc"), ("bind", "/dev", "dev")):
            words = ["--bind", source] if kind == "bind" else ["-t", kind, source]
            run(["mount", *words, str(self.folder / name)])
        if f"\n{USER}:" not in (self.folder / "etc" / "passwd").read_text():
            self.as_root("useradd", "--create-home", "--shell", "/bin/sh", USER)
        self.write("etc/sudoers.d/user", f"{USER} ALL=(ALL) NOPASSWD: ALL\n", 0o440)

    def boot(self) -> None:
        """Start systemd, and with it what is to run from now on."""
        words = ["unshare", "--mount", "sh", "-c", BOOT, "sh", str(self.folder)]
        null = subprocess.DEVNULL  # for what a console shows
        self.machine = subprocess.Popen(words, stdin=null, stdout=null, start_new_session=True)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            done = subprocess.run(
                self.inside("systemctl", "is-system-running"), check=False, capture_output=True, text=True
            )
            if done.stdout.strip() in {"running", "degraded"}:
                return
            time.sleep(0.5)
        raise SystemExit("systemd did not start within two minutes")

    def _power_off(self, machine: subprocess.Popen[bytes]) -> None:
        for seconds in (60, 10):
            machine.terminate()  # an order to power off, and the second time to be gone
            with suppress(subprocess.TimeoutExpired):
                machine.wait(seconds)
                return
        machine.kill()
        machine.wait()

    def _init(self) -> str:
        """Return the id of the systemd that runs here; 0 until it does."""
        assert self.machine is not None
        children = Path(f"/proc/{self.machine.pid}/task/{self.machine.pid}/children")
        for child in children.read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/cmdline").read_bytes().startswith(SYSTEMD.encode() + b"\0"):
                    return child
        return "0"

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file of this Debian."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def publish(self, source: Path, revision: str) -> None:
        """Give this Debian a repository whose branch `main` is at a revision of this one."""
        there = self.folder / REPOSITORY.lstrip("/")
        if not there.exists():
            run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(there)])
        run(
            ["git", "push", "--quiet", "--force", str(there), f"{revision}^{{commit}}:refs/heads/main"],
            cwd=source,
        )
        self.as_root("chown", "-R", "root:root", REPOSITORY)

    def run(self, commands: str, *, outside: bool = False) -> None:
        """Run shell commands as the user; with the network outside, or only with what runs in here."""
        exports = "".join(f"export {name}={shlex.quote(one)}\n" for name, one in self.variables.items())
        words = ("runuser", "-l", USER, "-c", f"set -e\n{exports}{commands}")
        run(["chroot", str(self.folder), *words] if outside else self.inside(*words))

    def as_root(self, *words: str, output: bool = False) -> str:
        """Run a program as root in the network inside; return what it prints if asked to."""
        done = subprocess.run(
            self.inside(*words), check=True, text=True, stdout=subprocess.PIPE if output else None
        )
        return done.stdout or ""

    def begin(self, *words: str) -> None:
        """Start a program as root in the network inside, which runs until the end."""
        self.started.append(subprocess.Popen(self.inside(*words), stderr=subprocess.DEVNULL))

    def inside(self, *words: str) -> list[str]:
        """Return how to run a program here, in the network inside."""
        if self.machine is not None:
            own = [f"-{kind}" for kind in "muinpC"]
            return ["nsenter", "-t", self._init(), *own, "--", *words]
        return ["ip", "netns", "exec", self.network, "chroot", str(self.folder), *words]


def run(words: list[str], **more: object) -> None:
    """Run a program that has to succeed."""
    subprocess.run(words, check=True, **more)  # type: ignore[call-overload]
