"""`make format` changes the code of the notebooks' sources, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

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
    from publish.format import formatted

    code = "%matplotlib inline\nx=[1,2]\nax.plot( x );"
    after = formatted(SOURCE.format(code=code), ROOT / "notebooks/12-X.md")
    assert after == SOURCE.format(code="%matplotlib inline\nx = [1, 2]\nax.plot(x);")


def test_make_format_says_which_notebook_it_cannot_read():
    from publish.files import CourseError
    from publish.format import formatted

    with pytest.raises(CourseError, match=r"12-X\.md cannot be formatted"):
        formatted(SOURCE.format(code="x = ("), ROOT / "notebooks/12-X.md")


def test_ruff_s_complaints_about_a_source_come_before_a_run():
    from publish.files import sources
    from publish.format import complaints

    source = sources()[0]
    text = source.read_text(encoding="utf-8")
    assert complaints(text, source) == ""
    cell = "```{code-cell} ipython3\nimport antigravity\nx='a'\n```\n"
    said = complaints(text + "\n" + cell, source)
    assert "F401" in said and "`antigravity` imported but unused" in said
    assert f"{source.name} is not formatted; run `make format`." in said
