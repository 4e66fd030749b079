"""How Sphinx builds the pages; `publish/pages/build.py` puts together what it reads."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

with (ROOT / "pyproject.toml").open("rb") as file:
    about = tomllib.load(file)["project"]

project = "Statistical Rethinking in PyMC"
author = ", ".join(person["name"] for person in about.get("authors", []))
copyright = f"{author}. Code: MIT. Text: CC BY 4.0. Data: as their sources say"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
    "publish.pages.directives",
]
exclude_patterns = ["download/**"]

nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show code"
nb_code_prompt_hide = "Hide code"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
# The parts of MathJax that are used; [tex]/html is for the changed lines of formulas (\class).
# Without noundefined, so that an unknown command is an error that the tests find.
mathjax3_config = {
    "loader": {
        "load": "core input/tex-base [tex]/ams [tex]/html output/chtml a11y/assistive-mml".split()
    },
    "tex": {"packages": {"[+]": ["ams", "html"]}},
}

# The helpers' page. Types stand in the docstrings; in signatures, too, they would fill a phone.
# Single backticks hold names: of helpers, which become links, and of parameters, which do not.
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

numfig = True
numfig_format = {"figure": "Figure %s."}

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_show_sourcelink = False
html_show_sphinx = False
html_copy_source = False
html_use_index = False
# A browser does not let a page that was opened as a file read the others for an excerpt.
html_show_search_summary = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "navbar_center": ["course-nav"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"**": []}
html_context = {
    "default_mode": "auto",
    "course_links": [
        ("index", "Lectures"),
        ("helpers", "Helpers"),
        ("samplers", "Samplers"),
        ("calibration", "Calibration"),
        ("data", "Data"),
        ("errata", "Errata"),
        ("status", "Status"),
        ("citation", "Citation"),
    ],
}

# The one place for the project's address is [project.urls]; while it is unset, nothing links out.
course_repository = about.get("urls", {}).get("Repository")
if course_repository:
    html_theme_options["icon_links"] = [
        {"name": "Repository", "url": course_repository, "icon": "fa-solid fa-code-branch"}
    ]
