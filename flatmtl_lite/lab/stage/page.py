"""Pages with stages and without a kernel: the sliders move, and nothing is fetched from a network."""

import base64
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from plotly.offline import get_plotlyjs

from .stage import HERE, Stage, javascript


def page(*stages: Stage, title: str = "flatmtl-lite") -> str:
    """Return an HTML page with these stages. It fetches nothing and needs no kernel."""
    scripts = (get_plotlyjs(), stage_js(), _text(HERE / "static.js"))
    return filled(
        title=escape(title),
        head=f"<style>{_text(HERE / 'stage.css')}</style>",
        body="\n".join(map(stage_script, stages)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def stage_script(stage: Stage) -> str:
    """Return a stage with the tables of all its choices, as a script element that ``static.js`` opens."""
    stage.fill()
    left_out = {"live", "locked", "recipe", "tables"}
    model = {name: getattr(stage, name) for name in sorted(set(Stage.class_own_traits(sync=True)) - left_out)}
    tables = [base64.b64encode(table).decode() for table in stage.tables]
    return data_script(model | {"live": False, "locked": "", "recipe": "", "tables": tables}, stage.state)


def data_script(data: Mapping, text: str) -> str:
    """Return data for ``static.js`` as a script element; ``text`` stands for the picture."""
    json_text = json.dumps(data).replace("<", "\\u003c")  # no tag in the data ends the script element
    tag = f'<script class="flatmtl-data" type="application/json" data-text="{escape(text)}">'
    return f"{tag}{json_text}</script>"


def stage_js() -> str:
    """Return the stage's JavaScript as a plain script, since a browser loads no modules from a folder."""
    return f"window.flatmtlStage = (() => {{\n{javascript().replace('export default', 'return')}\n}})();\n"


def filled(**parts: str) -> str:
    """Return ``page.html`` with its parts filled in."""
    before, *rest = _text(HERE / "page.html").split("{{")
    pieces = (piece.split("}}", 1) for piece in rest)
    return before + "".join(parts[name] + after for name, after in pieces)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
