"""Build the site: guides, API pages and the course, with search; nothing is fetched when a page opens."""

import re
import shutil
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from plotly.offline import get_plotlyjs

import flatmtl_lite
from flatmtl_lite.files import shipped_folder
from flatmtl_lite.lab.publish.site import course_sources
from flatmtl_lite.lab.stage.page import HERE as STAGE
from flatmtl_lite.lab.stage.page import stage_js

DOCS = Path(__file__).parent
MADE = DOCS / "_made"  # scripts and styles of the stages, written at every build
MADE.mkdir(exist_ok=True)

project = "flatmtl-lite"
author = "flatmtl-lite contributors"
version = release = flatmtl_lite.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "_made"]

nb_execution_mode = "off"  # the notebooks are committed executed
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "flatmtl-lite"
html_static_path = ["_static", "_made"]
html_css_files = ["stage.css", "site.css"]
html_js_files = [(name, {"defer": "defer"}) for name in ("plotly.js", "stage.js", "static.js")]
html_show_search_summary = False  # a page that is opened from a folder must not fetch another
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"


def write_sources(app) -> None:
    """Bring the course and the scripts of its stages to where Sphinx reads."""
    course_sources(shipped_folder("notebooks"), DOCS / "course")
    for name, text in {"plotly.js": get_plotlyjs(), "stage.js": stage_js()}.items():
        (MADE / name).write_text(text, encoding="utf-8")
    for name in ("stage.css", "static.js"):
        shutil.copy(STAGE / name, MADE)


def mathml(display: str):
    """A visitor that writes a formula as MathML, which browsers show without a script."""

    def visit(translator, node) -> None:
        formula = convert(node.astext(), display=display)
        translator.body.append(formula if display == "inline" else f'<div class="formula">{formula}</div>')
        raise nodes.SkipNode

    return visit


def no_depart(translator, node) -> None:
    """Nothing follows a formula: its visitor has written all of it."""


def readable(app, what, name, obj, options, lines) -> None:
    """Keep |θ| of a docstring as it is, and show a method's ``Guarantees:``, ``Cost:``, ... as fields."""
    for i, line in enumerate(lines):
        pieces = line.split("``")
        pieces[::2] = [piece.replace("|", "\\|") for piece in pieces[::2]]
        lines[i] = line if line.lstrip().startswith((">>>", "...")) else "``".join(pieces)
    for i in reversed(range(len(lines))):
        if fact := re.match(r"(Guarantees|Scale|Cost|Paper): ", lines[i]):
            lines[i : i + 1] = ["", f":{fact[1]}: {lines[i][fact.end() :]}"]


def setup(app) -> None:
    app.connect("builder-inited", write_sources)
    app.connect("autodoc-process-docstring", readable)
    app.add_html_math_renderer("mathml", (mathml("inline"), no_depart), (mathml("block"), no_depart))
