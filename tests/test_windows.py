"""Windows, as far as it can be tried elsewhere: what a notebook imports needs no Unix.

Not tried on Windows itself by these tests; .github/workflows/test.yml has a job there.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What Python's documentation marks "Availability: Unix".
MODULES = "crypt curses fcntl grp posix pty pwd readline resource syslog termios tty".split()
NAMES = """os.chown os.chroot os.fchmod os.fchown os.fork os.forkpty os.getegid os.geteuid os.getgid
os.getgroups os.getloadavg os.getpgid os.getpgrp os.getpriority os.getsid os.getuid os.killpg
os.lchown os.mkfifo os.mknod os.nice os.openpty os.posix_spawn os.pread os.pwrite
os.sched_getaffinity os.sched_setaffinity os.sched_yield os.setgid os.setpgid os.setsid os.setuid
os.statvfs os.sysconf os.uname os.wait os.wait3 os.wait4 signal.SIGALRM signal.SIGCHLD
signal.SIGHUP signal.SIGKILL signal.SIGUSR1 signal.SIGUSR2 signal.alarm signal.pause
signal.setitimer signal.sigwait time.tzset""".split()
#: The rooms that Windows is promised for; `benchmarks` and the set-up need Unix, or WSL.
ROOMS = [ROOT / "utils.py"]
ROOMS += [p for part in ("rethinking", "studies", "publish") for p in (ROOT / part).rglob("*.py")]


def needs_unix(code: str) -> list[str]:
    """List what a text imports or names that Windows lacks."""
    found = []
    for node in ast.walk(ast.parse(code)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        found += [name for name in names if name in {*MODULES, *NAMES}]
    return found


def test_no_room_names_what_windows_lacks():
    wrong = {str(path.relative_to(ROOT)): needs_unix(path.read_text("utf-8")) for path in ROOMS}
    assert not {room: names for room, names in wrong.items() if names}


@pytest.mark.parametrize("code", ["import fcntl", "from os import fork", "os.geteuid()"])
def test_what_windows_lacks_is_found(code):
    assert needs_unix(code)


def test_the_names_are_unix_s():
    """A typing error in the lists would find nothing; macOS lacks some of what Linux has."""
    modules = {"os": os, "signal": __import__("signal"), "time": __import__("time")}
    there = [hasattr(modules[name.split(".")[0]], name.split(".")[1]) for name in NAMES]
    assert all(there) if sys.platform == "linux" else True


# Other packages choose by os.name and are loaded before; then Unix is taken away, and the rooms
# are loaded again.
PROCESS = f"""
import os, pkgutil, signal, sys, time
import studies, utils

for name in [name for name in sys.modules if name.partition(".")[0] in ("rethinking", "utils")]:
    del sys.modules[name]
for name in {MODULES}:
    sys.modules[name] = None
for name in {NAMES}:
    module, _, name = name.partition(".")
    vars(globals()[module]).pop(name, None)

import utils
from studies import pool
for module in pkgutil.iter_modules(studies.__path__):
    __import__("studies." + module.name)
utils.start()
utils.load_data("reedfrogs")
pool.process_pool().shutdown()
"""


@pytest.mark.compiles  # nothing, but a process that imports all of it takes its seconds
def test_what_a_notebook_imports_loads_without_unix():
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
