"""Contrast by WCAG 2.1: text at least 4.5 : 1 with its ground; lines 3 : 1, or a black edge or a dash."""

import re
from itertools import combinations

import pytest

from flatmtl_lite.decomposition import RULES
from flatmtl_lite.lab.figures import style
from flatmtl_lite.lab.stage.stage import HERE

NAMED = {"white": "#ffffff", "black": "#000000"}


def luminance(color: str) -> float:
    color = NAMED.get(color, color).lstrip("#")
    color = "".join(2 * digit for digit in color) if len(color) == 3 else color
    parts = [int(color[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)


def css_pairs(css: str) -> list[tuple[str, str]]:
    """(text, ground) of every rule; what a rule leaves out is the #222 on white of the whole."""
    pairs = []
    for rule in re.findall(r"\{([^}]*)\}", css):
        text = re.search(r"(?<!-)color: (#\w+|white|black)", rule)
        ground = re.search(r"background: (#\w+|white|black)", rule)
        if text or ground:
            pairs.append((text[1] if text else "#222", ground[1] if ground else "white"))
    return pairs


def test_text_stands_out_from_its_ground():
    pairs = css_pairs((HERE.parent / "publish" / "site.css").read_text())
    assert pairs
    # links and the bar of the course: white on #222 and #222 on white are the same contrast
    assert [pair for pair in pairs if pair[0] != pair[1] and contrast(*pair) < 4.5] == []


def test_the_controls_of_a_stage_stand_out_in_both_themes():
    themes = re.findall(r"\{([^}]*--ink[^}]*)\}", (HERE / "stage.css").read_text())
    assert len(themes) == 2
    for theme in themes:
        colors = dict(re.findall(r"--(\w+): (#\w+|white);", theme))
        for ground in ("paper", "soft", "warn"):
            assert contrast(colors["ink"], colors[ground]) >= 4.5
        for line in ("rim", "accent"):
            assert contrast(colors[line], colors["paper"]) >= 3


def test_letters_and_lines_stand_out_on_light_and_dark_pages():
    colors = (*style.COLORS, style.GREY, style.BLACK)
    assert set(style.INKS) == {*style.COLORS, style.GREY}
    for color in colors:
        ink = style.INKS.get(color, color)
        dark = [style.DARK.get(shade, shade) for shade in (color, ink)]
        assert contrast(ink, style.WHITE) >= 4.5
        assert contrast(dark[1], style.DARK[style.WHITE]) >= 4.5
        assert contrast(dark[0], style.DARK[style.WHITE]) >= 3
    grounds = [color for _, color in style.GROUND]
    assert all(contrast(style.BLACK, ground) >= 4.5 for ground in grounds)
    assert all(contrast(style.DARK[style.BLACK], style.DARK[ground]) >= 4.5 for ground in grounds)


def test_figure_text_stands_out():
    assert contrast(style.TEMPLATE.layout.font.color, "white") >= 4.5


def test_pale_colours_are_never_alone():
    """Orange and sky are pale: what they draw differs in dash or marker too, or has an edge."""
    pale = {color for color in (*style.COLORS, style.GREY) if contrast(color, "white") < 3}
    assert pale == {style.ORANGE, style.SKY}
    for looks in (list(style.METHODS.values()), list(style.PARTS.values())):
        for one, other in combinations(looks, 2):
            assert (one["dash"], one.get("symbol")) != (other["dash"], other.get("symbol"))
    assert len(set(style.TASK_DASHES)) == len(style.TASKS)


def test_methods_differ_in_more_than_colour():
    for key in ("color", "symbol"):
        assert len({look[key] for look in style.METHODS.values()}) == len(style.METHODS)


def test_every_rule_has_a_look_of_its_own():
    assert list(style.RULES) == list(RULES)
    for key in ("color", "symbol"):
        assert len({look[key] for look in style.RULES.values()}) == len(RULES)
    assert len({look["dash"] for look in style.RULES.values()}) == 6  # plotly has no more
