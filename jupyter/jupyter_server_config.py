"""Settings of the server that `make lab` starts."""

import os
import sys

from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupytext import build_async_jupytext_contents_manager_class

c = get_config()  # noqa: F821 (given by Jupyter)

# Checkpoints would lie between the notebooks.
c.FileCheckpoints.checkpoint_dir = os.path.join(sys.prefix, "var", "jupyter", "checkpoints")
# JupyterLab asks the package index for extensions, else.
c.LabApp.extension_manager = "readonly"
# Looking for language servers runs npm, which writes into the user's home.
c.LanguageServerManager.autodetect = False
# Of a lecture one file is listed, the .md: it opens as the notebook, with the outputs of the
# .ipynb. A link still opens an .ipynb, and other names are listed.
c.ContentsManager.hide_globs.extend(["[0-9]*-*.ipynb", "jupytext.toml", "runs.json"])


class Contents(build_async_jupytext_contents_manager_class(AsyncLargeFileManager)):
    """Jupytext's files, without the Python version of this machine.

    JupyterLab writes the kernel's language into a notebook. Were it new, the tab would be marked
    as unsaved before anybody has typed a letter; were it saved, the file would change.
    """

    async def get(self, *args, **options):
        """Return a file; a notebook with the language that the kernel is going to write."""
        model = await super().get(*args, **options)
        if model["type"] == "notebook" and model["content"]:
            model["content"]["metadata"]["language_info"] = IPythonKernel.language_info
        return model

    async def save(self, model, path=""):
        """Save a file; a notebook as the rendering stores it."""
        if model["type"] == "notebook":
            model["content"]["metadata"].get("language_info", {}).pop("version", None)
        return await super().save(model, path)


c.ServerApp.contents_manager_class = Contents
