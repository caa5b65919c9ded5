"""Figures of scenes: the image, the targets of three tasks, and the nine metrics of methods."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .style import BLACK, BLUE, GREEN, GREY, METHODS, ORANGE, PURPLE, RULES, SKY, TEMPLATE, VERMILLION

# one colour per class, in the order of NYUv2's 13 classes; large surfaces are pale
CLASS_COLORS = (
    *(VERMILLION, PURPLE, "#BBBBBB", BLUE, "#8C6D4F", ORANGE, "#F0E442"),
    *("#882255", GREEN, "#999933", BLACK, "#C6DBEF", SKY),
)
UNKNOWN = "white"
NAMED = 0.03  # a class with this share of the pixels shows its name


def scene_panels(sample: Mapping[str, np.ndarray], classes: Sequence[str]) -> go.Figure:
    """Draw a scene and its three targets: image, class of each pixel, surface normals, depth.

    White is unknown: class -1, depth 0, normal 0. The colour of a normal is its direction: red grows to
    the right, green downwards, blue away from the camera. So a wall that faces us has little blue.

    Args:
        sample: "image" (H, W, 3) in 0..1, "label" (H, W) in -1..12, "depth" (H, W, 1) in metres, "normal"
            (H, W, 3) in -1..1, as ``flatmtl_lite.runs.rooms.render`` gives them.
        classes: names of the 13 classes.

    Raises:
        ValueError: the number of names is not the number of colours.
    """
    if len(classes) != len(CLASS_COLORS):
        raise ValueError(f"Got {len(classes)} classes; expected the {len(CLASS_COLORS)} of NYUv2.")
    titles = ["image", "classes", "normals", "depth"]
    figure = make_subplots(2, 2, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.08)
    normal = sample["normal"]
    has_normal = (normal != 0).any(-1, keepdims=True)
    figure.add_trace(_photograph(sample["image"]), 1, 1)
    figure.add_trace(_photograph(np.where(has_normal, (1 + normal) / 2, 1)), 2, 1)
    _add_classes(figure, sample["label"], classes)
    depth = np.where(sample["depth"] > 0, sample["depth"], np.nan)[..., 0].astype(np.float32)
    bar = dict(title=dict(text="depth, m", side="right"), len=0.46, y=0.23, x=1.01, thickness=18)
    heat = dict(colorscale="Cividis_r", colorbar=bar, hovertemplate="%{z:.2f} m<extra></extra>")
    figure.add_heatmap(z=depth, **heat, row=2, col=2)
    for column, row in ((1, 1), (2, 1), (1, 2), (2, 2)):
        k = 2 * (row - 1) + column
        axis = dict(showticklabels=False, ticks="", showgrid=False, mirror=True, constrain="domain")
        figure.update_xaxes(**axis, row=row, col=column)
        anchored = dict(scaleanchor=f"x{k if k > 1 else ''}", autorange="reversed")
        figure.update_yaxes(**axis, **anchored, row=row, col=column)
    legend = dict(orientation="v", x=1.01, y=1.02, yanchor="top", font_size=13, tracegroupgap=0)
    figure.update_layout(template=TEMPLATE, height=600, margin=dict(l=10, r=10, t=30, b=10))
    return figure.update_layout(legend=legend)


def _photograph(image: np.ndarray) -> go.Image:
    """Draw an image (H, W, 3) in 0..1 as a PNG, which is far smaller than the numbers."""
    from plotly.express import imshow  # here, since it takes a third of a second to import

    pixels = (255 * image.clip(0, 1)).round().astype(np.uint8)
    drawn = imshow(pixels, binary_string=True, binary_backend="pypng", binary_compression_level=9)
    return drawn.data[0].update(hoverinfo="skip", hovertemplate=None)


def _add_classes(figure: go.Figure, label: np.ndarray, classes: Sequence[str]) -> None:
    """Add the map of classes with the names of the large ones, and a legend of the classes in it."""
    colors = (UNKNOWN, *CLASS_COLORS)
    steps = [(k / len(colors), color) for k, color in enumerate(colors) for k in (k, k + 1)]
    figure.add_heatmap(
        z=label.astype(np.int8),
        zmin=-1.5,
        zmax=len(classes) - 0.5,
        colorscale=steps,
        showscale=False,
        hovertemplate="class %{z}<extra></extra>",
        row=1,
        col=2,
    )
    for number in np.unique(label):
        name = "unknown (-1)" if number < 0 else f"{number} {classes[number]}"
        marker = dict(symbol="square", size=14, color=colors[number + 1], line=dict(width=1, color=BLACK))
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name, row=1, col=2)
        rows, columns = np.nonzero(label == number)
        if number >= 0 and len(rows) >= NAMED * label.size:
            middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
            place = dict(x=int(columns[middle]), y=int(rows[middle]), showarrow=False, row=1, col=2)
            paper = dict(bgcolor="rgba(255, 255, 255, 0.75)", borderpad=1)
            figure.add_annotation(text=classes[number], font_size=14, **paper, **place)


def metric_changes(changes: Mapping[str, Mapping[str, float]], title: str, step: float = 30.0) -> go.Figure:
    """Draw Δm of each method as a dot, and the change of each metric in a table next to it.

    Δm is the mean of these changes. An arrow leads from a method X to F-X; name the two one after the other.

    Args:
        changes: method -> metric -> change against the base in per cent, above 0 if the method is worse.
            All methods have the same metrics.
        title: name of the base, for the axis.
        step: a change of this size has the darkest colour, in per cent.
    """
    names, metrics = list(changes), list(next(iter(changes.values())))
    table = np.array([[changes[name][metric] for metric in metrics] for name in names])
    means = dict(zip(names, table.mean(1).round(3).tolist(), strict=True))
    places = {name: place for place, name in enumerate(names)}
    figure = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.42, 0.58], horizontal_spacing=0.02)
    for name in (name for name in names if f"F-{name}" in means):
        tip = dict(x=means[f"F-{name}"], y=places[f"F-{name}"], ax=means[name], ay=places[name], text="")
        arrow = dict(arrowhead=2, arrowwidth=2, arrowcolor=GREY, standoff=6, startstandoff=6)
        figure.add_annotation(**tip, **arrow, axref="x", ayref="y", row=1, col=1)
    for kind, look in (("X", METHODS["LS"]), ("F-X", METHODS["F-CAGrad"])):
        kept = [name for name in names if name.startswith("F-") == (kind == "F-X")]
        marker = dict(symbol=look["symbol"], color=look["color"], size=12)
        at = dict(x=[means[name] for name in kept], y=[places[name] for name in kept], text=kept)
        shown = dict(name=kind, hovertemplate="%{text}: %{x:+.2f} %<extra></extra>")
        figure.add_scatter(**at, **shown, mode="markers", marker=marker, row=1, col=1)
    figure.add_heatmap(
        z=table.round(2).tolist(),
        x=metrics,
        zmin=-step,
        zmax=step,
        colorscale=[(0, BLUE), (0.5, "white"), (1, VERMILLION)],
        showscale=False,
        texttemplate="%{z:+.0f}",
        textfont=dict(size=13, color=BLACK),
        hovertemplate="%{x}: %{z:+.1f} %<extra></extra>",
        xgap=1,
        ygap=1,
        row=1,
        col=2,
    )
    figure.add_vline(x=0, line=dict(color="#444444", width=1.5), row=1, col=1)
    figure.update_xaxes(title_text=title, row=1, col=1)
    figure.update_xaxes(title_text="change of each metric, % (blue: better)", tickangle=-40, row=1, col=2)
    last = len(names) - 0.5
    figure.update_yaxes(range=[last, -0.5], tickvals=list(places.values()), ticktext=names, automargin=True)
    return figure.update_layout(template=TEMPLATE, height=190 + 24 * len(names), margin=dict(t=40, b=115))


def rule_dots(values: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> go.Figure:
    """Draw the results of each aggregator under several rules: one dot per seed, a bar for the mean.

    A thin line joins the dots of one seed, so that the reader can compare the rules seed by seed.

    Args:
        values: aggregator -> rule -> values, one per seed. The rules are keys of ``figures.style.RULES``,
            the same for all aggregators.
        title: name of the values, for the axis.
    """
    rules = list(next(iter(values.values())))
    figure = go.Figure()
    for group, of_rules in enumerate(values.values()):
        heights = [group + 0.27 * (k - (len(rules) - 1) / 2) for k in range(len(rules))]
        for seed in zip(*of_rules.values(), strict=True):
            thin = dict(mode="lines", line=dict(color=GREY, width=1), opacity=0.6, hoverinfo="skip")
            figure.add_scatter(x=list(seed), y=heights, **thin, showlegend=False)
        for rule, y in zip(rules, heights, strict=True):
            look, seeds = RULES[rule], of_rules[rule]
            dots = dict(size=11, symbol=look["symbol"], color=look["color"], line=dict(width=1, color=BLACK))
            bar = dict(symbol="line-ns", size=24, line=dict(width=3, color=look["color"]))
            at = dict(name=rule, legendgroup=rule, mode="markers", hovertemplate="%{x:+.2f}")
            figure.add_scatter(x=[float(np.mean(seeds))], y=[y], marker=bar, **at, showlegend=False)
            figure.add_scatter(x=list(seeds), y=[y] * len(seeds), marker=dots, **at, showlegend=group == 0)
    figure.add_vline(x=0, line=dict(color="#444444", width=1.5))
    last = len(values) - 0.5
    figure.update_yaxes(range=[last, -0.5], tickvals=list(range(len(values))), ticktext=list(values))
    figure.update_yaxes(automargin=True, showgrid=False)
    figure.update_xaxes(title_text=title)
    return figure.update_layout(template=TEMPLATE, height=150 + 90 * len(values), margin=dict(t=60, b=60))
