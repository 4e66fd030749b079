"""The one call that changes anything: `start`, in the first cell of each notebook."""

from __future__ import annotations

import logging

import matplotlib.pyplot as plt
import pytensor
from IPython import get_ipython

from rethinking import compile_cache
from rethinking.data import ROOT

#: Style sheet of the course, for ``plt.style.use(utils.STYLE_PATH)``.
STYLE_PATH = ROOT / "statistical-rethinking-2023.mplstyle"


def start() -> None:
    """Set this process up as the course has it: figures, messages, compiled models.

    - Figures take the course's style sheet, and keep their size in a notebook.
    - PyMC's logger reports warnings only: "Sampling: [...]" is none.
    - PyTensor looks for no BLAS, which it would only use in C code: a model with a matrix product
      warns otherwise, where none is installed.
    - Compiled models are kept on disk, for `pymc.sample` as for `fit`, and PyTensor's flag
      ``numba__fastmath`` is False, so that draws do not depend on what was on disk: see
      `rethinking.compile_cache.install`. Nothing is deleted outside its own folder; where that
      cannot be written, a sentence says so and fits go on.

    Examples
    --------
    >>> with plt.rc_context():  # in a notebook just start(): figures keep their style
    ...     start()
    >>> logging.getLogger("pymc").level == logging.WARNING
    True
    """
    plt.style.use(STYLE_PATH)
    if shell := get_ipython():
        # Else each figure is cut to what is drawn, and a column of them has a ragged edge.
        settings = 'InlineBackend.print_figure_kwargs = {"bbox_inches": None}'
        shell.run_line_magic("config", settings)
    logging.getLogger("pymc").setLevel(logging.WARNING)
    pytensor.config.blas__ldflags = ""
    compile_cache.install()
