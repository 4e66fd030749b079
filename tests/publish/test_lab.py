"""JupyterLab as `make lab` starts it: the .md is the notebook, and the home folder stays empty."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from publish import lab
from publish.files import ROOT, finish, replace, to_bytes, write_text
from tests.publish.planted import planted

TOKEN = "a-token-of-this-test"


def awkward(nb):
    """Add what could be lost on the way: a long header, tags, an output that is a result."""
    nb.metadata.jupytext = {"default_lexer": "ipython3"}
    nb.metadata.course.about = "Frogs: in tanks, " + "word " * 20
    options = nb.cells[5].metadata["mystnb"]
    options["figure"]["caption"] = "More live: in the tank's corner, α = $\\alpha$."
    options["image"]["alt"] = "Line chart. " + "word " * 30
    result = new_output("execute_result", data={"text/html": "<p>1</p>"}, execution_count=2)
    metadata = {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
    nb.cells += [new_code_cell("x", metadata=metadata, outputs=[result]), new_code_cell("x")]


class Server:
    """JupyterLab's server on a folder of its own."""

    def __init__(self, base, root, home, process):
        self.base, self.root, self.home, self.process = base, root, home, process
        self.md = root / "notebooks" / "01-Frogs.md"
        self.ipynb = self.md.with_suffix(".ipynb")

    def ask(self, path, method="GET", body=None):
        request = urllib.request.Request(
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def open(self, name):
        return self.ask(f"api/contents/{name}?type=notebook&content=1")

    def save(self, name, content):
        body = {"type": "notebook", "format": "json", "content": content}
        return self.ask(f"api/contents/{name}", "PUT", body)

    def files(self):
        return self.md.read_bytes(), self.ipynb.read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab work")
    root, home, prefix = folder / "course", folder / "home", folder / "environment"
    home.mkdir()
    md = root / "notebooks" / "01-Frogs.md"
    nb = planted(awkward)
    md.parent.mkdir(parents=True)
    replace(md.parent / "jupytext.toml", (ROOT / "notebooks" / "jupytext.toml").read_bytes())
    replace(md, write_text(nb, md).encode())
    replace(md.with_suffix(".ipynb"), to_bytes(finish(nb, md.stem, {"utils.py": "0123"})))
    os.utime(md, (0, 1_700_000_000))

    lab.install_settings()
    environment = lab.environment(str(prefix))
    lab.trust_notebooks(root, str(prefix))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [*lab.command(root), "--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    line += [f"--IdentityProvider.token={TOKEN}"]
    home_of_this_test = {"HOME": str(home), "XDG_CACHE_HOME": str(folder / "cache")}
    log = folder / "log"
    with log.open("w") as file:
        environment = {**os.environ, **environment, **home_of_this_test}
        process = subprocess.Popen(line, env=environment, stdout=file, stderr=subprocess.STDOUT)
    running = Server(f"http://127.0.0.1:{port}/", root, home, process)
    try:
        for _ in range(300):
            try:
                running.ask("api/status")
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
        else:
            pytest.fail(f"the server did not start:\n{log.read_text()}")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_an_md_opens_as_a_notebook_with_the_stored_outputs(server):
    model = server.open("01-Frogs.md")
    assert model["type"] == "notebook"
    cells = model["content"]["cells"]
    stored = nbformat.read(server.ipynb, as_version=4).cells
    assert [cell["id"] for cell in cells] == [cell.id for cell in stored]
    assert [c.get("outputs") for c in cells] == [c.get("outputs") for c in stored]
    # Else JupyterLab shows neither causal graphs nor living figures.
    assert all(c["metadata"]["trusted"] for c in cells if c["cell_type"] == "code")


@pytest.mark.parametrize("name", ["01-Frogs.md", "01-Frogs.ipynb"])
@pytest.mark.parametrize("newer", [".md", ".ipynb"])
def test_saving_without_a_change_leaves_both_files_byte_for_byte(server, name, newer):
    before = server.files()
    path = server.md if newer == ".md" else server.ipynb
    for file in (server.md, server.ipynb):
        moment = 1_700_000_000 + 3600 * (file == path)
        os.utime(file, (moment, moment))
    content = server.open(name)["content"]
    # As JupyterLab does when the kernel has started.
    content["metadata"]["language_info"]["version"] = "3.99.0"
    content["metadata"] = dict(reversed(content["metadata"].items()))
    server.save(name, content)
    assert server.files() == before
    # What an .md says of itself is in both files, what a run was made from in one.
    assert all(b"in tanks" in file for file in before)
    assert [b"made_from" in file for file in before] == [False, True]
    assert path.stat().st_mtime > 1_700_000_000 + 3600, "nothing was saved"


def test_an_edit_reaches_both_files(server):
    before = server.files()
    content = server.open("01-Frogs.md")["content"]
    old, content["cells"][3]["source"] = content["cells"][3]["source"], "Edited."
    server.save("01-Frogs.md", content)
    assert b"\nEdited.\n" in server.md.read_bytes()
    assert nbformat.read(server.ipynb, as_version=4).cells[3].source == "Edited."
    content["cells"][3]["source"] = old
    server.save("01-Frogs.md", content)
    assert server.files() == before


def test_a_double_click_opens_an_md_as_a_notebook(server):
    settings = server.ask("lab/api/settings/@jupyterlab/docmanager-extension:plugin")
    viewers = settings["schema"]["properties"]["defaultViewers"]["default"]
    assert viewers["markdown"] == "Jupytext Notebook"
    news = server.ask("lab/api/settings/@jupyterlab/apputils-extension:notification")
    properties = news["schema"]["properties"]
    assert properties["fetchNews"]["default"] == "false"
    assert properties["checkForUpdates"]["default"] is False


def test_the_kernel_is_that_of_this_environment(server):
    specs = server.ask("api/kernelspecs")["kernelspecs"]
    assert specs["python3"]["spec"]["argv"][0] in ("python", sys.executable)


def test_nothing_is_left_in_the_home_folder_or_between_the_notebooks(server):
    server.save("01-Frogs.md", server.open("01-Frogs.md")["content"])
    server.ask("api/contents/01-Frogs.md/checkpoints", "POST")
    assert [str(path) for path in server.home.rglob("*")] == []
    left = sorted(path.name for path in server.md.parent.iterdir())
    assert left == ["01-Frogs.ipynb", "01-Frogs.md", "jupytext.toml"]


def test_settings_are_installed_beside_those_of_others(tmp_path):
    other = tmp_path / "share/jupyter/lab/settings/overrides.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"mine": 1}')
    assert lab.install_settings(str(tmp_path))
    written = tmp_path / "share/jupyter/lab/settings/overrides.d" / lab.NAME
    assert json.loads(written.read_text())["@jupyterlab/docmanager-extension:plugin"]
    assert not lab.install_settings(str(tmp_path)), "the second time there is nothing to do"
    assert other.read_text() == '{"mine": 1}'


def test_every_folder_of_jupyter_is_inside_the_environment():
    environment = lab.environment("/some/where")
    outside = [name for name in environment if not environment[name].startswith("/some/where/")]
    assert outside == ["JUPYTER_PREFER_ENV_PATH"]
