"""Settings of the server that `make lab` starts."""

import os
import sys

c = get_config()  # noqa: F821 (given by Jupyter)

# Checkpoints would lie between the notebooks.
c.FileCheckpoints.checkpoint_dir = os.path.join(sys.prefix, "var", "jupyter", "checkpoints")
# JupyterLab asks the package index for extensions, else.
c.LabApp.extension_manager = "readonly"
# Looking for language servers runs npm, which writes into the user's home.
c.LanguageServerManager.autodetect = False


def leave_out_this_machine(model, **_):
    """Leave the Python version out of a saved notebook, as the rendering does."""
    if model["type"] == "notebook":
        model["content"]["metadata"].get("language_info", {}).pop("version", None)


c.FileContentsManager.pre_save_hook = leave_out_this_machine
