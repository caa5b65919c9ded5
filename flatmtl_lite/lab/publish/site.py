"""The course as a static site: ``make site``.

A page and its folder hold everything that the page needs. It fetches nothing from elsewhere, and it works
from a folder as well as from a server. Formulas become MathML.
"""

import argparse
import ast
import re
import shutil
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path

import nbformat
from plotly.offline import get_plotlyjs

from .. import instruments
from ..stage.page import data_script, filled, stage_js, stage_script
from ..stage.stage import HERE, Stage

PLOTLY = "application/vnd.plotly.v1+json"
CODE = r"```.*?```|`[^`\n]*`"
FORMULA = r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>(?:[^$\n]|\n(?!\s*\n))+)\$"  # inline: within a paragraph
NO_KERNEL = (
    "Sliders and choices work on this page. Dragging points, exercises and predictions need a kernel: "
    "clone the project and run <code>make lab</code>."
)


def site(notebooks: Path, out: Path) -> list[Path]:
    """Write the executed notebooks of a folder as HTML pages, with every asset in the same folder.

    Each stage is opened again by the call in its output. Everything else is as committed.

    Args:
        notebooks: the folder of the notebooks. Its folder ``images`` is copied.
        out: the folder to write. An older site in it is replaced when all pages are complete.

    Returns:
        The pages, in the order of the course; the first is ``index.html`` too.

    Raises:
        ValueError: the folder holds no notebook, or ``out`` holds something other than a site.
    """
    if out.exists() and not (out / "stage.js").is_file() and any(out.iterdir()):
        raise ValueError(
            f"Got out={str(out)!r}, which holds something other than a site; expected a new or empty folder."
        )
    sources = {path.stem: nbformat.read(path, as_version=4) for path in sorted(notebooks.glob("*.ipynb"))}
    if not sources:
        raise ValueError(f"Got folder={str(notebooks)!r} without a notebook; expected the course's own.")
    titles = {name: nb.cells[0].source.split("\n")[0].lstrip("# ") for name, nb in sources.items()}
    fresh = out.with_name(out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, notebook in sources.items():
        print(name, file=sys.stderr)
        (fresh / f"{name}.html").write_text(_course_page(name, notebook, titles), encoding="utf-8")
    shutil.copy(fresh / f"{next(iter(sources))}.html", fresh / "index.html")
    assets = {"plotly.js": get_plotlyjs(), "stage.js": stage_js(), "code.css": code_css()}
    for name, text in assets.items():
        (fresh / name).write_text(text, encoding="utf-8")
    for file in (HERE / "stage.css", HERE.parent / "publish" / "site.css", HERE / "static.js"):
        shutil.copy(file, fresh)
    if (notebooks / "images").is_dir():
        shutil.copytree(notebooks / "images", fresh / "images")
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    fresh.replace(out)
    shutil.rmtree(old, ignore_errors=True)
    return [out / f"{name}.html" for name in sources]


def _course_page(name: str, notebook: nbformat.NotebookNode, titles: Mapping[str, str]) -> str:
    links = []
    for other, title in titles.items():
        here = ' aria-current="page"' if other == name else ""
        links.append(f'<a href="{other}.html"{here}>{escape(title)}</a>')
    body = (
        f'<a class="skip" href="#course">Skip to the page</a><nav aria-label="course">{"".join(links)}</nav>'
        f'<main id="course"><p class="kernel">{NO_KERNEL}</p>{_body(notebook)}</main>'
    )
    styles = ("site.css", "code.css", "stage.css")
    scripts = ("plotly.js", "stage.js", "static.js")
    return filled(
        title=escape(f"{titles[name]} · flatmtl-lite"),
        head="\n".join(f'<link rel="stylesheet" href="{style}">' for style in styles),
        body=body,
        scripts="\n".join(f'<script src="{script}"></script>' for script in scripts),
    )


def _body(notebook: nbformat.NotebookNode) -> str:
    """Return the cells as HTML. Formulas are set aside, so that none of their signs counts as markup."""
    from latex2mathml.converter import convert  # for ``make site`` only; learners do not need it
    from nbconvert import HTMLExporter

    formulas = []

    def set_aside(match: re.Match) -> str:
        for display in ("block", "inline"):
            if match[display]:
                formulas.append(convert(match[display], display=display))
                return f"formula{len(formulas) - 1}formula"
        return match[0]

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(f"{CODE}|{FORMULA}", set_aside, cell.source, flags=re.DOTALL)
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = _shown(output.data, output.metadata)
    exporter = HTMLExporter(
        template_name="basic", anchor_link_text="", exclude_input_prompt=True, exclude_output_prompt=True
    )
    text = exporter.from_notebook_node(notebook)[0]
    text = re.sub(r"formula(\d+)formula", lambda match: formulas[int(match[1])], text)
    return re.sub(r'href="([\w.-]+)\.ipynb', r'href="\1.html', text)


def _shown(data: Mapping, metadata: Mapping) -> dict:
    """Return the data of an output for a page: a stage, a live figure, or the data as they are."""
    if call := metadata.get("flatmtl", {}).get("call"):
        return {"text/html": stage_script(opened(call))}
    if PLOTLY in data:
        return {"text/html": data_script(data[PLOTLY], data["text/plain"])}
    return dict(data)


def opened(call: str) -> Stage:
    """Open the stage of a call such as ``lab.rho_instrument('valleys', rho=0.4)``. No other code runs.

    Raises:
        ValueError: the call is not the call of an instrument with plain values.
    """
    try:
        tree = ast.parse(call, mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Attribute):
            raise ValueError("not a call")
        if tree.func.attr not in instruments.__all__:
            raise ValueError(tree.func.attr)
        values = [ast.literal_eval(value) for value in tree.args]
        options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
        return getattr(instruments, tree.func.attr)(*values, **options)
    except (SyntaxError, TypeError, ValueError) as error:
        raise ValueError(
            f"Got {call!r} ({error}); expected the call of an instrument, such as "
            "lab.rho_instrument('valleys')."
        ) from error


def code_css() -> str:
    """Return the colours of code, all with enough contrast."""
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="xcode").get_style_defs(".highlight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the executed notebooks of a folder as HTML pages.")
    parser.add_argument("notebooks", type=Path, help="the folder of the executed notebooks")
    parser.add_argument("out", type=Path, help="the folder to write")
    pages = site(**vars(parser.parse_args()))
    print(f"{len(pages)} pages; open {pages[0].parent / 'index.html'}")
