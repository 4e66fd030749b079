"""The machine, the versions, and files that are there as a whole or not at all."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("pymc", "nutpie", "pytensor", "numba", "numpy", "jax", "numpyro", "blackjax")


def versions() -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {name: list(importlib.metadata.distributions(name=name)) for name in PACKAGES}
    return {name: there[0].version for name, there in found.items() if there}


def machine() -> dict[str, str | int | float]:
    """Return processor, cores, memory in GB, system and Python."""
    processor = platform.processor()
    facts = Path("/proc/cpuinfo")  # Linux: platform says no more than x86_64 there
    if facts.is_file():
        named = [
            line
            for line in facts.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        processor = named[0].partition(":")[2].strip() if named else processor
    return {
        "processor": processor or platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def machine_line(facts: dict, packages: dict[str, str]) -> str:
    """Return machine and versions as part of a sentence."""
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB; "
        f"{facts['system']}; Python {facts['python']}, {listed}"
    )


def store(path: Path, content: str | bytes) -> None:
    """Put a file in place as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
