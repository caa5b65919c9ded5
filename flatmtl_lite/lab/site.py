"""Stages without a kernel: pages of their own, with every asset inside."""

import base64
import json

from plotly.offline import get_plotlyjs

from .stage import HERE, Stage


def page(*stages: Stage, title: str = "flatmtl-lite") -> str:
    """An HTML page of its own with these stages: their sliders move, nothing is fetched, no kernel runs."""
    models = []
    for stage in stages:
        stage.fill()
        model = {
            name: getattr(stage, name) for name in Stage.class_own_traits(sync=True) if name != "plotly_js"
        }
        model |= {"live": False, "locked": "", "recipe": ""}
        model["tables"] = [base64.b64encode(table).decode() for table in stage.tables]
        models.append(model)
    parts = {
        "title": title,
        "css": (HERE / "stage.css").read_text(),
        "plotly": get_plotlyjs(),
        "module": base64.b64encode((HERE / "stage.js").read_bytes()).decode(),
        "models": json.dumps(models).replace("</", "<\\/"),
    }
    text = (HERE / "page.html").read_text()
    before, *rest = text.split("{{")
    return before + "".join(parts[part.split("}}", 1)[0]] + part.split("}}", 1)[1] for part in rest)
