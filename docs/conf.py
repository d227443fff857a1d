"""Sphinx settings."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_wanx import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# Importing Airflow writes its settings into its home; the reference imports Airflow.
_HOME = tempfile.TemporaryDirectory(prefix="wanx-docs-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

project = "airflow-provider-wanx"
author = "The airflow-provider-wanx authors"
copyright = "The airflow-provider-wanx authors, Apache License 2.0"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "wanx_tables",
]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
# pydantic's and Airflow's machinery would bury what users call.
autodoc_inherit_docstrings = False

copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"{project} {release}"


def _leave_out_missing_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """The benchmarks write a page of their own; the documentation can be built without it."""
    if docname == "index" and not Path(app.srcdir, "performance.md").exists():
        source[0] = source[0].replace("\nperformance\n", "\n")


def setup(app: Sphinx) -> None:
    app.connect("source-read", _leave_out_missing_page)
    # Whether the page is there may have changed since the last build.
    app.connect("env-get-outdated", lambda *_: ["index"])
