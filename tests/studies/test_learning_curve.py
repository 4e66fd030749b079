"""The stored learning curve: what it holds, and that the tagged cells are what makes it.

That its numbers are those of the notebook is asked in the notebook's kernel, see its claims.
"""

from __future__ import annotations

import pandas as pd

from studies import learning_curve

SOURCE = """---
jupytext:
  text_representation:
    format_name: myst
---

```{code-cell} ipython3
:tags: [study]

import pandas as pd

curve = pd.DataFrame({"pooling": ["no"]})
```

```{code-cell} ipython3
curve = None
```
"""


def test_the_stored_curve_is_whole():
    curve = learning_curve.load()
    cells = pd.MultiIndex.from_product([[2, 5, 10], ["complete", "partial", "no"]])
    assert curve[["ratings", "pooling"]].apply(tuple, axis=1).tolist() == list(cells)
    partial = curve[curve["pooling"] == "partial"]
    assert (partial[["behind_partial", "standard_error"]] == 0).all(axis=None)
    ahead = curve["ratings"].map(partial.set_index("ratings")["held_out"]) - curve["held_out"]
    assert (ahead - curve["behind_partial"]).abs().max() < 2.1e-5  # of rounding


def test_tagged_cells_alone_make_it(tmp_path):
    source = tmp_path / "notebook.md"
    source.write_text(SOURCE, encoding="utf-8")
    assert learning_curve.compute(source)["pooling"].tolist() == ["no"]
