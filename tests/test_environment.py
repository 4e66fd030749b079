"""What is declared, locked and documented in several places says the same in all of them.

Each check is run on the project's files and, to show that it can fail, on changed copies of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from itertools import product
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

# PyPI's name -> conda-forge's, where they differ.
CONDA_NAMES = {
    "graphviz": "python-graphviz",
    "matplotlib": "matplotlib-base",
    "playwright": "playwright-python",
}
# In environment.yml alone: the interpreter, its installer, and programs.
CONDA_ONLY = {"python", "pip", "graphviz", "make"}

# What the lock is for, by Python's names.
SYSTEMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}

# What a link to this project's own home looks like: launchers, states of its CI, "edit this".
OUTWARD = re.compile(
    r"https?://[^\s)>\"']*(?:mybinder\.org/v2|colab\.research|nbviewer|shields\.io|github\.dev"
    r"|/actions/workflows|/edit/)[^\s)>\"']*"
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PYPROJECT = tomllib.loads(read("pyproject.toml"))
PROJECT = PYPROJECT["project"]
CITATION = yaml.safe_load(read("CITATION.cff"))
LOCK = read("requirements.lock")
CONDA = read("environment.yml")
REPOSITORY = PROJECT.get("urls", {}).get("Repository")


MINORS = [m for m in range(100) if f"3.{m}.0" in SpecifierSet(PROJECT["requires-python"])]


def members(group: str) -> list[str]:
    """List the requirements of a dependency group, included groups and all."""
    found = []
    for item in PYPROJECT["dependency-groups"][group]:
        found += members(item["include-group"]) if isinstance(item, dict) else [item]
    return found


def declared() -> dict[str, SpecifierSet]:
    """Map the name of each requirement of pyproject.toml to its bounds."""
    requirements = map(Requirement, PROJECT["dependencies"] + members("dev"))
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def applies(pin: Requirement, minor: int, platform: str) -> bool:
    """Say whether an entry of the lock is for this Python on this system."""
    environment = {
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
        "platform_system": SYSTEMS[platform],
        "python_full_version": f"3.{minor}.1",
        "python_version": f"3.{minor}",
        "sys_platform": platform,
    }
    return pin.marker is None or pin.marker.evaluate(environment)


def lock_problems(lock: str) -> list[str]:
    """Say where a lock fails to hold every declared package once, pinned and with hashes."""
    found, pins = [], []
    for line in lock.replace("\\\n", " ").splitlines():
        entry, *hashes = re.split(r"\s+--hash=", line.strip())
        # A host, an index or a direct address would tie the lock to one machine's settings.
        if re.search(r"://|^-|\s@\s", entry):
            found.append(f"names a place to download from: {entry}")
        elif entry and not entry.startswith("#"):
            pins.append(Requirement(entry))
            if not re.fullmatch(r"==[^,*]+", str(pins[-1].specifier)):
                found.append(f"{entry} is not pinned with ==")
            if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes):
                found.append(f"{entry} has no sha256 hash")
    for (name, bounds), minor, platform in product(declared().items(), MINORS, SYSTEMS):
        there = [p for p in pins if canonicalize_name(p.name) == name]
        there = [p for p in there if applies(p, minor, platform)]
        where = f"on {platform} with Python 3.{minor}"
        if len(there) != 1:
            found.append(f"{name} has {len(there)} pins {where}")
        elif not bounds.contains(str(there[0].specifier).strip("=<>"), prereleases=True):
            found.append(f"{name}{there[0].specifier} is outside {bounds} {where}")
    return found


def conda_problems(text: str) -> list[str]:
    """Say where an environment.yml differs from pyproject.toml."""
    environment = yaml.safe_load(text)
    found = []
    if environment["channels"] != ["conda-forge", "nodefaults"]:
        found.append("channels must be conda-forge and nodefaults, in this order")
    if environment["name"] != PROJECT["name"]:
        found.append(f"the name is not {PROJECT['name']}")
    *lines, last = environment["dependencies"]
    lines += last["pip"] if isinstance(last, dict) else [last]
    listed = {r.name: r.specifier for r in map(Requirement, lines)}
    wanted = {CONDA_NAMES.get(name, name): bounds for name, bounds in declared().items()}
    wanted["python"] = SpecifierSet(PROJECT["requires-python"])
    for name, bounds in wanted.items():
        if name not in listed:
            found.append(f"{name}{bounds} is missing")
        elif listed[name] != bounds:
            found.append(f"{name} is bound by '{listed[name]}', in pyproject.toml by '{bounds}'")
    found += [f"{name} is missing" for name in CONDA_ONLY - set(listed)]
    found += [f"{n} is not in pyproject.toml" for n in set(listed) - set(wanted) - CONDA_ONLY]
    return found


def outward_problems(text: str, repository: str | None) -> list[str]:
    """List the links to a home of this project that do not come from [project.urls]."""
    home = repository.partition("://")[2].partition("/")[2].rstrip("/") if repository else None
    return [link for link in OUTWARD.findall(text) if home is None or home not in link]


def test_lock_holds_what_pyproject_declares():
    problems = lock_problems(LOCK)
    assert not problems, "requirements.lock: run `make lock`.\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"^pymc==[\d.]+", "pymc==5.0", "pymc==5.0 is outside"),
        (r"^pymc==", "not-pymc==", "pymc has 0 pins"),
        (r"^pymc==([\d.]+)", r"pymc>=\1", "is not pinned"),
        (r"^pymc==(.*)\\\n(?:    --hash=.*\n)+", r"pymc==\1\n", "has no sha256 hash"),
        (r"\A", "--index-url https://example.org/simple\n", "names a place"),
        (r"^pymc==\S+", "pymc @ https://example.org/pymc.whl", "names a place"),
        (r"\A", "-f wheels\n", "names a place"),
    ],
)
def test_a_changed_lock_is_caught(old, new, message):
    changed, count = re.subn(old, new, LOCK, count=1, flags=re.MULTILINE)
    assert count == 1
    assert any(message in problem for problem in lock_problems(changed))


def test_environment_yml_agrees_with_pyproject():
    problems = conda_problems(CONDA)
    assert not problems, "Make the same change in environment.yml:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - pymc>=6.4,<7\n", "", "pymc<7,>=6.4 is missing"),
        ("  - pymc>=6.4,<7\n", "  - pymc>=6.3,<7\n", "pymc is bound by"),
        ("  - graphviz\n", "", "graphviz is missing"),
        ("  - pip\n", "  - pip\n  - bambi\n", "bambi is not in pyproject.toml"),
        ("<3.15", "<3.16", "python is bound by"),
        ("- nodefaults", "- defaults", "channels must be"),
    ],
)
def test_a_changed_environment_yml_is_caught(old, new, message):
    assert old in CONDA
    assert any(message in problem for problem in conda_problems(CONDA.replace(old, new)))


def test_every_dependency_group_is_locked():
    everything = set(members("dev"))
    for group in PYPROJECT["dependency-groups"]:
        outside = set(members(group)) - everything
        assert not outside, f"pyproject.toml: include the group {group} in dev, which is locked"


def test_places_that_name_python_versions_agree():
    lowest = f"3.{MINORS[0]}"
    listed = read(".python-version").split()
    outside = [v for v in listed if v not in SpecifierSet(PROJECT["requires-python"])]
    assert listed and not outside, f".python-version: {outside} outside requires-python"
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    expected = [f"3.{m}" for m in MINORS]
    assert named == expected, f"pyproject.toml: classifiers must name Python {expected}"
    workflow = yaml.safe_load(read(".github/workflows/test.yml"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == expected, f".github/workflows/test.yml: the matrix must name {expected}"
    assert f"--python-version {lowest} " in read("Makefile"), f"Makefile: lock from {lowest}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == lowest.replace("3.", "py3")
    assert f"Python {lowest} to {expected[-1]}" in read("README.md"), "README.md: Python versions"


def test_titles_and_versions_agree():
    title = re.search(r"^# (.+)$", read("README.md"), re.MULTILINE)
    assert title and title[1] == CITATION["title"], "README.md, CITATION.cff: same title, please"
    version = PROJECT["version"]
    assert CITATION["version"] == version, f"CITATION.cff: the version is {version}"
    assert f"version {version}" in read("README.md"), f"README.md: cite as version {version}"
    assert CITATION["license"] == ["MIT", "CC-BY-4.0"]
    assert PROJECT["license"] == "MIT"


def test_outward_links_come_from_one_value():
    assert set(PROJECT.get("urls", {})) <= {"Repository"}, "[project.urls] holds Repository alone"
    named = CITATION.get("repository-code")
    assert named == REPOSITORY, f"CITATION.cff, repository-code: {named}, not {REPOSITORY}"
    texts = ["README.md", "CONTRIBUTING.md", "LICENSE-text.md"]
    texts += [str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("notebooks/*.md"))]
    for name in texts:
        links = outward_problems(read(name), REPOSITORY)
        assert not links, f"{name}: {links} must start from [project.urls] or be left out"


@pytest.mark.parametrize("address", [None, "https://github.com/me/mine"])
def test_pages_are_published_where_the_address_leads(address, tmp_path):
    """The workflow's first step gives the address on which all others depend."""
    workflow = yaml.safe_load(read(".github/workflows/pages.yml"))
    _, project, *others = workflow["jobs"]["publish"]["steps"]
    wanted = "steps.project.outputs.address == format('{0}/{1}'"
    assert others and all(step["if"].startswith(wanted) for step in others)
    text = re.sub(
        r"^(\[project\.urls\]|Repository = )", r"# \1", read("pyproject.toml"), flags=re.M
    )
    planted = f'[project.urls]\nRepository = "{address}.git"\n' if address else ""
    (tmp_path / "pyproject.toml").write_text(f"{text}\n{planted}", encoding="utf-8")
    environment = {**os.environ, "GITHUB_OUTPUT": "out"}
    subprocess.run(project["run"], shell=True, cwd=tmp_path, env=environment, check=True)
    found = (tmp_path / "out").read_text(encoding="utf-8")
    assert found == (f"address={address}\n" if address else "")


def test_a_planted_outward_link_is_caught():
    for text in ("https://mybinder.org/v2/gh/me/mine/HEAD", "https://github.com/me/mine/edit/a.py"):
        assert outward_problems(text, None)
        assert not outward_problems(text, "https://github.com/me/mine")
        assert outward_problems(text, "https://github.com/me/other")
    assert not outward_problems("the lectures: https://github.com/rmcelreath", None)


def test_rules_name_checks_that_exist():
    """A rule of CONTRIBUTING.md that says "checked by `file` (`name`)" must not be a promise."""
    rules = re.findall(r"^\d+\. \*\*.*$", read("CONTRIBUTING.md"), re.MULTILINE)
    assert [int(rule.split(".")[0]) for rule in rules] == list(range(1, len(rules) + 1))
    for rule in rules:
        assert "hecked by `" in rule or "udgement" in rule, f"say what checks it: {rule}"
        for file, names in re.findall(r"by `([^`]+)` \(((?:`\w+`(?:, )?)+)\)", rule):
            for name in re.findall(r"\w+", names):
                assert re.search(rf"\b{name}\b", read(file)), f"{file} has no {name}: {rule}"
