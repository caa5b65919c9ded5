"""One look for every figure: Okabe-Ito colours, each with its own dash and marker."""

import plotly.graph_objects as go

WHITE, INK = "#FFFFFF", "#222222"
BLACK, GREY, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    *("#000000", "#777777", "#E69F00", "#56B4E9"),
    *("#009E73", "#0072B2", "#D55E00", "#CC79A7"),
)

COLORS = (ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE)

# A task and a part of a gradient keep their look through the whole course.
TASKS = (BLUE, VERMILLION, SKY, ORANGE)
TASK_DASHES = ("solid", "dash", "dot", "dashdot")
TASK_SYMBOLS = ("circle", "square", "diamond", "triangle-up")
LOSS, FLAT, SAM = BLACK, GREEN, PURPLE
PARTS = {
    "loss": dict(color=LOSS, dash="solid"),
    "flat": dict(color=FLAT, dash="dash"),
    "sam": dict(color=SAM, dash="dot"),
}
PATH = ORANGE
# the ground of a landscape, from low to high
GROUND = ((0.0, "#8fa9c4"), (0.5, "#cdd9e5"), (1.0, "#fbfcfd"))
# letters are thinner than lines, so they take a darker tint of the same colour
INKS = {
    PURPLE: "#A03E78",
    GREEN: "#006B4C",
    VERMILLION: "#A84400",
    BLUE: "#005A8F",
    SKY: "#15689C",
    ORANGE: "#7F5600",
    GREY: "#595959",
}
# dark pages swap these colours for others of the same meaning and enough contrast
DARK = {
    BLACK: "#f4f4f4",
    WHITE: "#111111",
    INK: "#e4e4e4",
    GREY: "#9a9a9a",
    BLUE: "#7ab2ff",
    VERMILLION: "#ff8f4a",
    GREEN: "#2fd0a0",
    PURPLE: "#eda3cc",
    SKY: "#a8ecf5",
    "#E5E5E5": "#333333",
    "#444444": "#b0b0b0",
    "#BBBBBB": "#555555",
    "#bbbbbb": "#555555",
    "#f7f7f7": "#1c1c1c",
    INKS[PURPLE]: "#eda3cc",
    INKS[GREEN]: "#2fd0a0",
    INKS[VERMILLION]: "#ff8f4a",
    INKS[BLUE]: "#7ab2ff",
    INKS[SKY]: "#a8ecf5",
    INKS[ORANGE]: ORANGE,
    INKS[GREY]: "#b8b8b8",
    **dict(zip((color for _, color in GROUND), ("#3b5a7d", "#24384e", "#121a23"), strict=True)),
}
METHODS = {
    "LS": dict(color=BLACK, dash="solid", symbol="circle"),
    "LS + weight decay": dict(color=GREY, dash="dash", symbol="square"),
    "SAM on the mean loss": dict(color=PURPLE, dash="dashdot", symbol="diamond"),
    "F-LS": dict(color=SKY, dash="solid", symbol="triangle-up"),
    "direct CAGrad": dict(color=ORANGE, dash="dot", symbol="x"),
    "F-CAGrad": dict(color=GREEN, dash="longdash", symbol="triangle-down"),
}

RULES = {
    "erm": dict(color=BLACK, dash="solid", symbol="circle"),
    "direct": dict(color=ORANGE, dash="dot", symbol="x"),
    "decomposed": dict(color=GREEN, dash="dash", symbol="triangle-down"),
    "second": dict(color=PURPLE, dash="dashdot", symbol="diamond"),
    "each": dict(color=GREY, dash="longdash", symbol="square"),
    "loss_first": dict(color=SKY, dash="solid", symbol="triangle-up"),
    "flat_first": dict(color=BLUE, dash="longdashdot", symbol="star"),
}

TEMPLATE = go.layout.Template(
    layout=go.Layout(
        font=dict(family="DejaVu Sans, Helvetica, Arial, sans-serif", size=15, color=INK),
        paper_bgcolor=WHITE,
        plot_bgcolor=WHITE,
        colorway=[BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK],
        xaxis=dict(showline=True, linecolor="#444444", ticks="outside", gridcolor="#E5E5E5", zeroline=False),
        yaxis=dict(showline=True, linecolor="#444444", ticks="outside", gridcolor="#E5E5E5", zeroline=False),
        margin=dict(l=70, r=20, t=60, b=60),
        legend=dict(orientation="h", yanchor="bottom", y=1.08, x=0, font=dict(size=14)),
    )
)


def line(name: str) -> dict:
    """Return line and marker of a method for ``go.Scatter``. An unknown method is grey."""
    look = METHODS.get(name, dict(color=GREY, dash="solid", symbol="circle"))
    return dict(
        line=dict(color=look["color"], dash=look["dash"], width=2.5),
        marker=dict(color=look["color"], symbol=look["symbol"], size=8),
    )
