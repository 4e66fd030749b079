"""What every notebook imports: the names of the course, by subject. `rethinking` defines them."""

# ruff: noqa: F401, I001 (handed on, in the order of a lecture)

# the set-up of a notebook, in its first cell
from rethinking.start import STYLE_PATH, start

# tables
from rethinking.data import DATA_DIR, DataError, load_data

# log-odds and back
from rethinking.transforms import invlogit, logit

# sentences, claims, progress
from rethinking.display import check_claim, progress, say

# figures
from rethinking.plots import BLUE, GOLD, GREEN, RED, plot_errorbar, plot_line, plot_scatter
from rethinking.graphs import CausalGraph, draw_causal_graph
from rethinking.frogs import plot_survival
from rethinking.living import (
    cutpoint_explorer,
    point_explorer,
    shrinkage_explorer,
    tank_scrubber,
)
from rethinking.living.teach import feature_teacher
from rethinking.living.trajectory import trajectory_scrubber

# formulas beside models
from rethinking.formula import Formula, FormulaError, show_formula

# convergence
from rethinking.diagnostics import diagnostics
from rethinking.gate import (
    CHAINS,
    MAX_RHAT,
    MIN_BFMI,
    MIN_ESS,
    Convergence,
    ConvergenceError,
    check_convergence,
    judge,
)

# fits
from rethinking.indices import check_indices
from rethinking.sampling import CompiledModel, ModelError, SamplingError, fit, ordered_starts

# scores for data that a model has not seen
from rethinking.scores import (
    integrated_log_likelihood,
    leave_one_out,
    mean_invlogit_normal,
    paired_difference,
)
