"""Start JupyterLab on the notebooks: `make lab`.

lab.py [OPTIONS...]         start it; options go to JupyterLab (--no-browser, --port 8890)
lab.py --install-settings   copy the settings in jupyter/ into this environment

Everything JupyterLab keeps (settings, workspaces, trust, runtime files) is kept in the environment
it is installed in, nothing in the user's home. The settings make an .md open as a notebook; they
are installed, not only passed on, so that they also hold where JupyterLab is started by others:
on Binder, or with `jupyter lab`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary

from publish.files import ROOT, replace

SETTINGS = ROOT / "jupyter"
NAME = "statistical-rethinking-pymc.json"


def environment(prefix: str = sys.prefix) -> dict[str, str]:
    """Return the variables that keep JupyterLab inside an environment."""
    own = Path(prefix) / "var" / "jupyter"
    return {
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "lab" / "user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "lab" / "workspaces"),
        "IPYTHONDIR": str(own / "ipython"),
        # The kernel of this environment, even where the user has one of the same name.
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def options(root: Path = ROOT) -> list[str]:
    """Return the options with which JupyterLab starts on the notebooks."""
    return [
        f"--config={SETTINGS / 'jupyter_server_config.py'}",
        f"--ServerApp.root_dir={root / 'notebooks'}",
        "--allow-root",  # in a container there is often no other user
    ]


def install_settings(prefix: str = sys.prefix) -> bool:
    """Copy the settings into an environment; return whether that changed it."""
    # A file of our own name, since the environment may hold settings of others.
    target = Path(prefix) / "share/jupyter/lab/settings/overrides.d" / NAME
    return replace(target, (SETTINGS / "overrides.json").read_bytes())


def trust_notebooks(root: Path = ROOT, prefix: str = sys.prefix) -> None:
    """Mark the rendered notebooks as trusted, for JupyterLab in this environment alone.

    Else it leaves out their causal graphs (SVG) and living figures (scripts). Whoever starts
    JupyterLab here runs the code of this folder anyway.
    """
    folder = environment(prefix)["JUPYTER_DATA_DIR"]
    os.makedirs(folder, exist_ok=True)
    notary = NotebookNotary(data_dir=folder)
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        try:
            notary.sign(nbformat.read(path, as_version=4))
        except Exception as error:
            print(f"{path.name} is no readable notebook: {error}", file=sys.stderr)
    notary.store.close()


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    if arguments == ["--install-settings"]:
        install_settings()
        return 0
    install_settings()
    for folder in environment().values():
        if os.path.isabs(folder):
            os.makedirs(folder, exist_ok=True)
    trust_notebooks()
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        os.environ.pop(name, None)
    os.environ.update(environment())
    from jupyterlab.labapp import LabApp  # it reads some of these when it is imported

    LabApp.launch_instance([*options(), *arguments])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
