"""The set-up scripts and the Makefile, run against stand-ins for Python and the system's tools.

No package is installed and no network is used: PATH holds links to a few plain tools and the
stand-ins, so that each test decides what the machine has.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = """awk cat chmod cksum cp dirname echo env false find grep head id ls make mkdir mv rm sed
sh sleep sort tail touch true""".split()

# A stand-in for Python: answers the probe, makes a venv holding itself, logs the rest.
PYTHON = r"""#!/bin/sh
[ "$1" = -I ] && shift
case "$1 $2" in
  *sysconfig*) printf '%s\n' "@VERSION@ @MISSING@ $0"; exit ;;
  *version_info*) echo @VERSION@; exit ;;
esac
printf '%s\n' "$*" >>"$LOG"
case "$*" in
  *"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *requirements.lock*) if [ -e "$TURNS/slow" ]; then sleep 30; fi; [ ! -e "$TURNS/no-network" ] ;;
esac
"""


class Machine:
    """A copy of the project in a folder with a space, and what is on PATH."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.root = folder / "a course"
        tools = folder / "tools"
        for new in (self.home, self.bin, tools, self.root / "scripts", self.root / "jupyter"):
            new.mkdir(parents=True)
        for tool in TOOLS:
            (tools / tool).symlink_to(shutil.which(tool))
        for name in ("Makefile", "pyproject.toml", "scripts/find-python.sh", "scripts/setup.sh"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / ".python-version").write_text("3.13\n3.12\n3.14\n")
        (self.root / "requirements.lock").write_text("pymc==6.4.0 \\\n    --hash=sha256:00\n")
        (self.root / "scripts/lab.py").write_text("# stand-in\n")
        (self.root / "jupyter/overrides.json").write_text("{}\n")
        self.env = {
            "COURSE_PYTHON_PLACES": "",
            "HOME": str(self.home),
            "LOG": str(folder / "log"),
            "PATH": f"{self.bin}:{tools}",
            "TURNS": str(folder),
        }
        self.log_file = folder / "log"
        self.command("dot", "exit 0")

    def command(self, name: str, script: str, folder: Path | None = None) -> Path:
        """Put a stand-in for a command on PATH, or into another folder."""
        file = (folder or self.bin) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def python(
        self, version: str, name: str = "", folder: Path | None = None, missing: str = "-"
    ) -> Path:
        text = PYTHON.replace("@VERSION@", version).replace("@MISSING@", missing)
        return self.command(name or f"python{version}", text, folder)

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            args,
            cwd=self.root,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )

    def find(self, **env: str) -> subprocess.CompletedProcess:
        return self.run("sh", "scripts/find-python.sh", **env)

    def setup(self, **env: str) -> subprocess.CompletedProcess:
        return self.run("sh", "scripts/setup.sh", **env)

    def log(self) -> list[str]:
        """What the stand-ins were asked since the last call."""
        lines = self.log_file.read_text().splitlines() if self.log_file.exists() else []
        self.log_file.unlink(missing_ok=True)
        return lines

    @property
    def stamp(self) -> Path:
        return self.root / ".venv/.course-setup"


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def assert_one_sentence(result: subprocess.CompletedProcess, *parts: str) -> None:
    """A failure says one thing, in one line that ends in a full stop."""
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1 and result.stderr.endswith(".\n"), result.stderr
    for part in parts:
        assert part in result.stderr


# --- find-python.sh ----------------------------------------------------------


def test_the_version_in_python_version_is_preferred(machine):
    machine.python("3.14")
    wanted = machine.python("3.13")
    assert machine.find().stdout == f"{wanted}\n"


def test_another_version_in_range_will_do(machine):
    (machine.root / ".python-version").unlink()
    machine.python("3.11", "python3")
    machine.python("3.12")
    newest = machine.python("3.14", "python")
    assert machine.find().stdout == f"{newest}\n"


def test_what_is_on_path_is_run_and_not_believed(machine):
    """The shim of a version manager fails when its version is not installed."""
    for name in ("python3.13", "python3.12", "python3"):
        machine.command(name, "echo 'version 3.13 is not installed' >&2; exit 127")
    machine.python("3.15", "python")
    behind = machine.python("3.12", "python3", machine.home / "more tools")
    result = machine.find(PATH=f"{machine.env['PATH']}:{behind.parent}")
    assert (result.stdout, result.stderr) == (f"{behind}\n", "")


@pytest.mark.parametrize(
    ("folder", "env"),
    [
        (".pyenv/versions/3.13.5/bin", {}),
        ("my pyenv/versions/3.13.5/bin", {"PYENV_ROOT": "{home}/my pyenv"}),
        (".asdf/installs/python/3.13.5/bin", {}),
        (".local/share/mise/installs/python/3.13.5/bin", {}),
        (".local/share/uv/python/cpython-3.13.5-linux-x86_64-gnu/bin", {}),
        ("xdg/uv/python/cpython-3.13.5-macos-aarch64-none/bin", {"XDG_DATA_HOME": "{home}/xdg"}),
        ("miniforge3/bin", {}),
    ],
)
def test_folders_of_version_managers_are_searched(machine, folder, env):
    machine.python("3.11", "python3")
    hidden = machine.python("3.13", folder=machine.home / folder)
    env = {key: value.format(home=machine.home) for key, value in env.items()}
    assert machine.find(**env).stdout == f"{hidden}\n"


def test_python_can_be_named(machine):
    machine.python("3.13")
    other = machine.python("3.12", folder=machine.home)
    assert machine.find(PYTHON=str(other)).stdout == f"{other}\n"
    assert machine.find(PYTHON="python3.13").stdout == f"{machine.bin}/python3.13\n"


def test_a_bad_name_for_python_is_refused(machine):
    machine.python("3.13")
    machine.python("3.11", "old")
    machine.command("broken", "exit 1")
    assert_one_sentence(machine.find(PYTHON="old"), "PYTHON=old is Python 3.11", "3.12 to 3.14")
    assert_one_sentence(machine.find(PYTHON="broken"), "PYTHON=broken does not run")
    assert_one_sentence(machine.find(PYTHON="nothing"), "PYTHON=nothing is not a command")


def test_no_suitable_python_makes_nothing(machine):
    machine.python("3.11", "python3")
    result = machine.setup()
    assert_one_sentence(result, "No Python from 3.12 to 3.14 was found", "install one")
    assert not (machine.root / ".venv").exists()
    machine.command("pyenv", "exit 0")
    assert_one_sentence(machine.find(), "pyenv install 3.13")


def test_a_python_without_venv_is_passed_over_or_explained(machine):
    machine.python("3.13", missing="ensurepip")
    assert_one_sentence(machine.setup(), "lacks its venv module", "apt-get install python3.13-venv")
    assert not (machine.root / ".venv").exists()
    whole = machine.python("3.12")
    assert machine.find().stdout == f"{whole}\n"


def test_a_python_without_ssl_is_explained(machine):
    machine.python("3.13", missing="ssl")
    assert_one_sentence(machine.find(), "without the module ssl")


# --- setup.sh ----------------------------------------------------------------


def test_setup_installs_the_lock_once(machine):
    machine.python("3.13")
    first = machine.setup()
    assert first.returncode == 0, first.stderr
    made, locked, project, settings = machine.log()
    assert made.endswith("-m venv --prompt statistical-rethinking .venv")
    assert "--require-hashes" in locked and "--only-binary :all:" in locked
    assert "--no-deps --no-build-isolation --editable ." in project
    assert settings == "scripts/lab.py --install-settings"
    start = time.perf_counter()
    second = machine.setup()
    assert time.perf_counter() - start < 1
    assert (second.returncode, second.stdout, second.stderr, machine.log()) == (0, "", "", [])


@pytest.mark.parametrize("how", ["failed", "killed", "interrupted"])
def test_an_unfinished_setup_starts_over(machine, how):
    machine.python("3.13")
    if how == "failed":
        (machine.root.parent / "no-network").touch()
        result = machine.setup()
        assert_one_sentence(result, "could not be installed", "network")
        (machine.root.parent / "no-network").unlink()
    else:
        (machine.root.parent / "slow").touch()
        process = subprocess.Popen(
            ["sh", "scripts/setup.sh"],
            cwd=machine.root,
            env=machine.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while "requirements.lock" not in (
            machine.log_file.read_text() if machine.log_file.exists() else ""
        ):
            time.sleep(0.01)
        assert_one_sentence(machine.setup(), f"Process {process.pid} is making .venv")
        os.killpg(process.pid, signal.SIGKILL if how == "killed" else signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
        assert process.returncode != 0
        assert ("starts over" in stderr) == (how == "interrupted")
        (machine.root.parent / "slow").unlink()
    assert not machine.stamp.exists()
    machine.log()
    leftover = machine.root / ".venv/lib/half-written"
    leftover.parent.mkdir()
    leftover.touch()
    assert machine.setup().returncode == 0
    assert machine.stamp.exists() and not leftover.exists()
    assert len(machine.log()) == 4


def test_a_venv_of_someone_else_is_left_alone(machine):
    machine.python("3.13")
    own = machine.root / ".venv/own"
    own.parent.mkdir()
    own.touch()
    assert_one_sentence(machine.setup(), ".venv was not made by this set-up", "delete it or move")
    assert own.exists() and machine.log() == []


def test_what_changed_is_set_up_again(machine):
    machine.python("3.13")
    machine.setup()
    machine.log()
    for name in ("pyproject.toml", "scripts/lab.py", "jupyter/overrides.json"):
        with open(machine.root / name, "a") as file:
            file.write("\n")
        assert machine.setup().returncode == 0
        project, settings = machine.log()
        assert "--editable ." in project and "--install-settings" in settings
    with open(machine.root / "requirements.lock", "a") as file:
        file.write("\n")
    assert machine.setup().returncode == 0
    assert len(machine.log()) == 4
    # Scripts in .venv hold its full path.
    machine.root = machine.root.rename(machine.root.parent / "moved")
    assert machine.setup().returncode == 0
    assert len(machine.log()) == 4
    # Its interpreter went away with an upgrade of the system.
    (machine.root / ".venv/bin/python").unlink()
    assert machine.setup().returncode == 0
    assert len(machine.log()) == 4


def test_another_python_makes_another_venv(machine):
    machine.python("3.13")
    machine.python("3.12")
    machine.setup()
    machine.log()
    assert machine.setup(PYTHON="python3.13").returncode == 0
    assert machine.log() == []
    assert machine.setup(PYTHON="python3.12").returncode == 0
    assert len(machine.log()) == 4


# --- Graphviz ----------------------------------------------------------------

MANAGER = 'printf "%s\\n" "MANAGER $*" >>"$LOG"; [ "$1" = update ] || cp "$TURNS/dot" "$TURNS/bin/"'


@pytest.fixture
def without_dot(machine):
    machine.python("3.13")
    (machine.bin / "dot").rename(machine.root.parent / "dot")
    machine.command("id", "echo 1000")
    return machine


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "apk", "pacman"])
def test_root_gets_graphviz_from_the_package_manager(without_dot, manager):
    without_dot.command("id", "echo 0")
    without_dot.command(manager, MANAGER.replace("MANAGER", manager))
    result = without_dot.setup()
    assert result.returncode == 0, result.stderr
    asked = without_dot.log()[0]
    assert asked.startswith(manager) and asked.endswith("graphviz")


def test_package_lists_are_fetched_when_the_first_try_fails(without_dot):
    without_dot.command("id", "echo 0")
    fails_once = '[ -e "$TURNS/updated" ] || [ "$1" = update ] || exit 100; touch "$TURNS/updated"'
    without_dot.command("apt-get", f"{fails_once}\n{MANAGER.replace('MANAGER', 'apt-get')}")
    assert without_dot.setup().returncode == 0
    assert [line.split()[1] for line in without_dot.log()[:2]] == ["update", "install"]


def test_sudo_is_used_only_where_it_does_not_ask(without_dot):
    without_dot.command("apt-get", MANAGER.replace("MANAGER", "apt-get"))
    without_dot.command("sudo", '[ "$1" = -n ] || exit 9; echo sudo >>"$LOG"; shift; exec "$@"')
    assert without_dot.setup().returncode == 0
    assert without_dot.log()[:3] == [
        "sudo",
        "sudo",
        "apt-get install -y -q --no-install-recommends graphviz",
    ]


@pytest.mark.parametrize(
    ("commands", "advice"),
    [
        ({"apt-get": MANAGER, "sudo": "exit 1"}, "sudo apt-get install graphviz"),
        ({"dnf": MANAGER}, "sudo dnf install graphviz"),
        ({"brew": "exit 1"}, "brew install graphviz"),
        ({}, "with your system's package manager"),
    ],
)
def test_missing_dot_is_explained_and_nothing_made(without_dot, commands, advice):
    for name, script in commands.items():
        without_dot.command(name, script)
    result = without_dot.setup()
    assert (
        result.stderr.strip()
        .splitlines()[-1]
        .endswith(f"install it ({advice}) and run make again.")
    )
    assert result.returncode != 0 and without_dot.log() == []
    assert not (without_dot.root / ".venv").exists()


def test_homebrew_needs_no_root(without_dot):
    without_dot.command("brew", MANAGER.replace("MANAGER", "brew"))
    assert without_dot.setup().returncode == 0
    assert without_dot.log()[0] == "brew install graphviz"


def test_dot_is_looked_for_in_a_finished_setup_too(machine):
    machine.python("3.13")
    machine.command("id", "echo 1000")
    machine.setup()
    (machine.bin / "dot").unlink()
    assert_one_sentence(machine.setup(), "dot")
    assert machine.stamp.exists()


# --- Makefile and .ci/run ----------------------------------------------------


def test_make_alone_lists_every_command(machine):
    result = machine.run("make")
    assert result.returncode == 0, result.stderr
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    listed = re.findall(r"^  make (\w+) +\S", result.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_make_sets_up_once(machine):
    machine.python("3.13")
    first = machine.run("make", "setup")
    assert first.returncode == 0, first.stderr
    machine.log()
    second = machine.run("make", "setup")
    assert second.stdout == "Nothing to set up: .venv is as requirements.lock says.\n"
    assert machine.log() == []


def test_make_test_checks_style_then_runs_everything_once(machine):
    machine.python("3.13")
    result = machine.run("make", "test")
    assert result.returncode == 0, result.stderr
    assert machine.log()[4:] == [
        "-m ruff check .",
        "-m ruff format --check .",
        "scripts/format_notebooks.py --check",
        "-m pytest --nbmake --overwrite",
    ]


def test_make_course_executes_then_builds(machine):
    machine.python("3.13")
    assert machine.run("make", "course").returncode == 0
    assert machine.log()[4:] == [
        "scripts/render.py --into _build/executed",
        "site/build.py --notebooks _build/executed",
    ]


def test_make_keeps_exit_codes(machine):
    failing = machine.command("failing", 'printf "%s\\n" "$*" >>"$LOG"; exit 1')
    for target in ("lint", "test", "course", "render", "site", "lab", "format"):
        assert machine.run("make", target, f"PY={failing.name}").returncode != 0
        assert len(machine.log()) == 1, "nothing may run after a failure"


def test_an_environment_of_ones_own_is_not_set_up(machine):
    machine.command("mine", 'printf "%s\\n" "mine $*" >>"$LOG"')
    assert machine.run("make", "lint", "PY=mine").returncode == 0
    assert machine.log() == [
        "mine -m ruff check .",
        "mine -m ruff format --check .",
        "mine scripts/format_notebooks.py --check",
    ]
    assert not (machine.root / ".venv").exists()


def test_a_failed_lock_leaves_the_old_one(machine):
    before = (machine.root / "requirements.lock").read_bytes()
    half = "echo half >_build/requirements.lock; exit 1"
    machine.command("half", half)
    assert machine.run("make", "lock", "PY=half").returncode != 0
    assert (machine.root / "requirements.lock").read_bytes() == before


def test_make_clean_keeps_the_environment_and_the_sources(machine):
    kept = [".venv/lib/__pycache__/a.pyc", "notebooks/12-X.md", "requirements.lock"]
    gone = ["_build/html/index.html", "tests/__pycache__/a.pyc", ".ruff_cache/a", ".hypothesis/a"]
    for name in kept + gone:
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / name).touch()
    assert machine.run("make", "clean").returncode == 0
    assert all((machine.root / name).exists() for name in kept)
    assert not any((machine.root / name).exists() for name in gone)


@pytest.fixture
def ci(machine):
    (machine.root / ".ci").mkdir()
    for name in (".ci/run", "scripts/install-chromium.sh"):
        shutil.copy(ROOT / name, machine.root / name)
    (machine.bin / "bash").symlink_to(shutil.which("bash"))
    machine.command("make", 'printf "%s\\n" "$PWD: make $*, CI=$CI" >>"$LOG"; exit 3')
    return machine


def test_ci_run_is_make_test_with_a_browser(ci):
    ci.command("google-chrome", "exit 0")
    ci.command("apt-get", 'printf "%s\\n" "apt-get $*" >>"$LOG"')
    result = ci.run(str(ci.root / ".ci/run"), PWD="/")
    assert (result.returncode, ci.log()) == (3, [f"{ci.root}: make test, CI=true"])


def test_ci_run_installs_chromium_where_there_is_none(ci):
    # Without package lists, as in a fresh container, the first try fails.
    ci.command("sudo", 'shift; exec "$@"')
    script = """printf '%s\\n' "apt-get $*" >>"$LOG"
case $* in update*) touch "$TURNS/lists" ;; *) [ -e "$TURNS/lists" ] || exit 100 ;; esac"""
    ci.command("apt-get", script)
    result = ci.run(str(ci.root / ".ci/run"), PWD="/")
    install = "apt-get install -y -q --no-install-recommends chromium"
    assert result.returncode == 3
    assert ci.log() == [
        install,
        "apt-get update -q",
        install,
        f"{ci.root}: make test, CI=true",
    ]


def test_ci_run_goes_on_where_chromium_cannot_be_had(ci):
    ci.command("sudo", 'shift; exec "$@"')
    ci.command("apt-get", "echo no such package; exit 100")
    result = ci.run(str(ci.root / ".ci/run"), PWD="/")
    assert (result.returncode, ci.log()) == (3, [f"{ci.root}: make test, CI=true"])
    assert "no such package" in result.stderr


@pytest.mark.parametrize(
    "name", [".ci/run", "postBuild", "scripts/setup.sh", "scripts/install-chromium.sh"]
)
def test_scripts_can_be_executed(name):
    assert os.access(ROOT / name, os.X_OK), f"chmod +x {name}"


SOURCE = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Title, with *text* that  stays

```{{code-cell}} ipython3
---
mystnb:
  figure:
    name: fig-12-a
    caption: What to see.
---
{code}
```
"""


def test_make_format_changes_code_and_nothing_else():
    from format_notebooks import formatted

    code = "%matplotlib inline\nx=[1,2]\nax.plot( x );"
    after = formatted(SOURCE.format(code=code), ROOT / "notebooks/12-X.md")
    assert after == SOURCE.format(code="%matplotlib inline\nx = [1, 2]\nax.plot(x);")


def test_make_format_says_which_notebook_it_cannot_read():
    from format_notebooks import formatted

    from publish.files import CourseError

    with pytest.raises(CourseError, match=r"12-X\.md cannot be formatted"):
        formatted(SOURCE.format(code="x = ("), ROOT / "notebooks/12-X.md")


def test_ruff_s_complaints_about_a_source_come_before_a_run():
    from format_notebooks import complaints

    from publish.files import sources

    source = sources()[0]
    text = source.read_text(encoding="utf-8")
    assert complaints(text, source) == ""
    cell = "```{code-cell} ipython3\nimport antigravity\nx='a'\n```\n"
    said = complaints(text + "\n" + cell, source)
    assert "F401" in said and "`antigravity` imported but unused" in said
    assert f"{source.name} is not formatted; run `make format`." in said
