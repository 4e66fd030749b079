"""The set-up, run without a network: PATH holds stand-ins and links to a few plain tools."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = "bash cat cksum cp cut dirname env find id make mkdir rm sed sh tail test tr"

# Answers the set-up's question as the Python it stands for, makes a venv of itself, logs the rest.
PYTHON = """
import os, shutil, sys, time
version, lacks, path, *arguments = sys.argv[1:]
if arguments == ["-V"]:
    sys.exit(print(f"Python {version}.1"))
if "-c" in arguments:
    sys.version_info, sys._base_executable = tuple(map(int, version.split("."))), path
    sys.modules.update({lacks: None})
    sys.exit(exec(arguments[-1]))
with open(os.environ["LOG"], "a") as log:
    print(*arguments, *(f"{k}={v}" for k, v in os.environ.items() if k[:4] == "PIP_"), file=log)
if "venv" in arguments:
    os.mkdir(".venv/bin")
    shutil.copy(path, ".venv/bin/python")
if "--require-hashes" in arguments:
    time.sleep(float(os.environ.get("SLOW", 0)))
    sys.exit(os.environ.get("FAIL"))
"""
# Installs what it is asked for (graphviz as dot); apt-get only when it has fetched lists.
MANAGER = """self=${0##*/}; echo "$self $*" >>"$LOG"
if [ "$1" = update ]; then >"$LOG.lists"; exit; fi
if [ $self = apt-get ] && [ ! -e "$LOG.lists" ]; then exit 9; fi
for name; do :; done; cp "$0" "${0%/*}/${name%graphviz}dot"
"""
APT = "apt-get install -y -q --no-install-recommends "


class Machine:
    """A copy of the project in a folder with a space, and what is on PATH."""

    def __init__(self, folder: Path):
        self.root, self.bin, self.file = folder / "a course", folder / "bin", folder / "log"
        for new in (self.bin, folder / "tools", self.root / "jupyter", self.root / ".ci"):
            new.mkdir(parents=True)
        for tool in TOOLS.split():
            (folder / "tools" / tool).symlink_to(shutil.which(tool))
        for name in (".ci/run", "Makefile", "pyproject.toml", "setup.sh", "jupyter/overrides.json"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / ".python-version").write_text("3.11\n3.13\n")
        (self.root / "requirements.lock").touch()
        (folder / "python.py").write_text(PYTHON)
        self.file.touch()
        self.env = {"PATH": f"{self.bin}:{folder}/tools", "LOG": str(self.file)}
        self.command("dot", "exit 0")
        self.python("3.13")

    def command(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def python(self, version: str, name: str = "", lacks: str = "") -> None:
        run = f'exec "{sys.executable}" -IS "{self.file.parent}/python.py"'
        self.command(name or f"python{version}", f'{run} {version} "{lacks}" "$0" "$@"')

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess:
        command, env = args or ("sh", "setup.sh"), self.env | env
        return subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True)

    def log(self) -> list[str]:
        """What the stand-ins were asked since the last call."""
        lines = self.file.read_text().splitlines()
        self.file.write_text("")
        return lines

    def assert_made(self, **env: str) -> str:
        result = self.run(**env)
        assert (result.returncode, result.stderr, len(self.log())) == (0, "", 4)
        return result.stdout

    def assert_refused(self, part: str, **env: str) -> None:
        result = self.run(**env)
        assert result.returncode and re.fullmatch(r".+\.\n", result.stderr), result.stderr
        assert part in result.stderr


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_python_is_chosen(machine):
    shims = machine.root / "shims"  # of a version manager: first on PATH, and of no use
    shims.mkdir()
    machine.command(f"{shims}/python3.13", "echo 'not installed' >&2; exit 127")
    path = f"{shims}:{machine.env['PATH']}"
    machine.python("3.14")
    machine.python("3.12", "python")
    for chosen in ("python3.13", "python3.14", "python"):
        assert f"({machine.bin}/{chosen}) ...\n" in machine.assert_made(PATH=path)
        machine.python("3.11", chosen)
        shutil.rmtree(machine.root / ".venv")


def test_what_stands_in_the_way_is_explained(machine):
    machine.python("3.13", lacks="ensurepip")
    machine.python("3.11", "old")
    machine.assert_refused("Python 3.13 lacks its venv module: install it (Debian and Ubuntu: sudo")
    for name in ("old", "nothing"):
        machine.assert_refused(f"PYTHON={name} does not run as a CPython from 3.12", PYTHON=name)
    (machine.bin / "python3.13").unlink()
    machine.assert_refused("No Python from 3.12 to 3.14 was found on PATH: install one")
    (machine.root / ".venv").mkdir()  # so none was made until here
    machine.assert_refused(".venv was not made by this set-up")
    (machine.root / "requirements.lock").unlink()
    machine.assert_refused("git checkout requirements.lock")
    assert machine.log() == [] and not list((machine.root / ".venv").iterdir())


def test_setup_installs_the_lock_once(machine):
    assert machine.run("make", "setup", PIP_TARGET="/x", PIP_PREFIX="/x", PIP_USER="1").stderr == ""
    venv, lock, project, settings = machine.log()
    assert "-m venv" in venv and settings.startswith("-m publish.lab --install-settings")
    assert "--require-hashes --only-binary :all: --requirement requirements.lock PIP_U" in lock
    assert project.endswith("--no-deps --no-build-isolation --editable . PIP_USER=0")
    second = machine.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert machine.run("make", "setup").stdout.startswith("Nothing to set up: .venv is as")
    assert machine.log() == []


@pytest.mark.parametrize("made", [True, False], ids=["with a stamp", "without"])
@pytest.mark.parametrize("command", ["setup", "distclean"])
def test_what_a_link_leads_to_is_left_alone(machine, made, command):
    machine.assert_made()
    own, other = machine.root / ".venv", machine.root.parent / "another checkout's .venv"
    own.rename(other)  # as the set-up of another checkout leaves it
    if not made:
        (other / ".course-setup").unlink()
    own.symlink_to(other)
    (machine.root / "requirements.lock").write_text("a change\n")
    before = sorted(other.rglob("*"))
    if command == "setup":
        machine.assert_refused(".venv is a symbolic link, which this set-up did not make")
    else:
        assert ".venv was not made by make setup" in machine.run("make", "distclean").stdout
    assert own.is_symlink() and sorted(other.rglob("*")) == before and machine.log() == []


def test_links_elsewhere_are_left_alone(machine):
    venv = machine.root / ".venv"
    venv.symlink_to("nowhere")
    machine.assert_refused("delete the link (rm .venv) and run make again.")
    venv.unlink()
    machine.assert_made()
    outside = machine.root.parent / "outside"
    outside.mkdir()
    for name, link in {"a.txt": venv / "a link", "b.txt": venv / ".course-setup"}.items():
        (outside / name).write_text("mine")
        link.unlink(missing_ok=True)
        link.symlink_to(outside / name)
    machine.assert_refused(".venv/.course-setup is a symbolic link")
    (venv / ".course-setup").unlink()
    (venv / ".course-setup").write_text("an older key\n")
    machine.assert_made()
    assert [path.read_text() for path in sorted(outside.iterdir())] == ["mine", "mine"]


def test_clean_leaves_alone_what_is_not_the_course_s(machine):
    foreign = ["another checkout", "env"]
    for folder, mark in zip(foreign, (".git", "pyvenv.cfg"), strict=True):
        (machine.root / folder / "lib/__pycache__").mkdir(parents=True)
        (machine.root / folder / mark).touch()
    outside = machine.root.parent / "outside"
    (outside / "__pycache__").mkdir(parents=True)
    for link in ("_build", "linked"):
        (machine.root / link).symlink_to(outside)
    (machine.root / ".git/__pycache__").mkdir(parents=True)  # a branch may have such a name
    (machine.root / "publish/__pycache__").mkdir(parents=True)
    (machine.root / ".venv/__pycache__").mkdir(parents=True)  # somebody else's, since no stamp
    result = machine.run("make", "distclean")
    assert (result.returncode, result.stderr) == (0, "")
    assert (outside / "__pycache__").is_dir() and not (machine.root / "_build").is_symlink()
    left = {path.parent.relative_to(machine.root) for path in machine.root.rglob("__pycache__")}
    assert left == {Path(".git"), Path(".venv"), *(Path(folder, "lib") for folder in foreign)}
    (machine.root / ".venv/.course-setup").touch()
    machine.run("make", "distclean")
    assert not (machine.root / ".venv").exists()


@pytest.mark.parametrize("how", ["failed", signal.SIGTERM, signal.SIGKILL])
def test_an_unfinished_setup_starts_over(machine, how):
    if how == "failed":
        assert "check the network" in machine.run(FAIL="No network.").stderr
    else:
        options = {"cwd": machine.root, "env": machine.env | {"SLOW": "30"}, "text": True}
        options |= {"stderr": subprocess.PIPE, "start_new_session": True}
        process = subprocess.Popen(["sh", "setup.sh"], **options)
        while "requirements.lock" not in machine.file.read_text():
            time.sleep(0.01)
        machine.assert_refused(f"Process {process.pid} is making .venv")
        os.killpg(process.pid, how)
        stderr = process.communicate(timeout=10)[1]
        assert ("starts over" in stderr) == (how == signal.SIGTERM) and process.returncode
    machine.log()
    (machine.root / ".venv/half-written").touch()
    machine.assert_made()
    assert not (machine.root / ".venv/half-written").exists()


def test_what_changed_is_set_up_again(machine):
    machine.assert_made()
    for name in ("requirements.lock", "setup.sh"):
        with open(machine.root / name, "a", encoding="utf-8") as file:
            file.write("\n")
        machine.assert_made()
    project = machine.root / "pyproject.toml"
    project.write_text(project.read_text() + "\n[tool.other]\n")  # the folder itself is on the path
    assert machine.run().stdout == ""
    machine.root = machine.root.rename(machine.root.parent / "moved")
    machine.assert_made()
    (machine.root / ".venv/bin/python").unlink()  # an upgrade of the system took it
    machine.assert_made()
    machine.python("3.12", "other")
    assert f"({machine.bin}/other) ..." in machine.assert_made(PYTHON="other")
    assert machine.run().stdout == machine.run(PYTHON="other").stdout == ""


@pytest.mark.parametrize(
    ("manager", "user", "sudo", "asked"),
    [
        ("apt-get", 0, "exit 1", [APT + "graphviz", "apt-get update -q", APT + "graphviz"]),
        ("dnf", 1000, 'shift; exec "$@"', ["dnf install -y -q graphviz"]),
        ("brew", 1000, "exit 1", ["brew install graphviz"]),
        ("apt-get", 1000, "exit 1", "install it (sudo apt-get install graphviz) and run make"),
        ("other", 0, "exit 1", "install it (with your system's package manager) and run make"),
    ],
)
def test_graphviz_is_installed_where_no_password_is_asked(machine, manager, user, sudo, asked):
    (machine.bin / "dot").unlink()
    machine.command("id", f"echo {user}")
    machine.command("sudo", f'[ "$1" = -n ] || exit 9; {sudo}')
    machine.command(manager, MANAGER)
    if isinstance(asked, str):
        machine.assert_refused(asked)
        assert machine.log() == [] and not (machine.root / ".venv").exists()
    else:
        assert machine.run().returncode == 0 and machine.log()[:-4] == asked


@pytest.mark.parametrize("there", ["google-chrome", "apt-get", "nothing"])
def test_ci_run_is_make_test_with_a_browser_where_one_can_be_had(machine, there):
    machine.command("id", "echo 0")
    machine.command("make", 'echo "make $*, CI=$CI" >>"$LOG"; exit 3')
    machine.command(there, MANAGER)
    result = machine.run(str(machine.root / ".ci/run"))
    asked = [APT + "chromium", "apt-get update -q", APT + "chromium"] if there == "apt-get" else []
    assert (result.returncode, machine.log()) == (3, [*asked, "make test, CI=true"])
