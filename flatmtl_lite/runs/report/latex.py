"""The report as LaTeX: a document of its own, whose tables can be copied into a paper."""

from collections.abc import Sequence

from .cells import Table
from .sections import sections
from .text import settings_of_the_paper

HEAD = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{graphicx}
\usepackage[landscape,margin=15mm]{geometry}
\begin{document}
\tableofcontents"""
# characters that mean something to LaTeX, or that its usual fonts do not have
CHARACTERS = {character: "\\" + character for character in "&%$#_{}"}
CHARACTERS |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
CHARACTERS |= {
    "±": r"$\pm$",
    "ρ": r"$\rho$",
    "−": "$-$",
    "Δ": r"$\Delta$",
    "°": r"$^\circ$",
    "ε": r"$\varepsilon$",
}
CHARACTERS |= {"<": "$<$", ">": "$>$"}


def latex(rows: Sequence[dict], differences: Sequence[dict], left_out: Sequence[str]) -> str:
    """Return the whole report as a LaTeX document; the arguments are those of ``markdown``."""
    texts = [HEAD]
    for section in sections(rows, differences):
        texts += [rf"\section{{{escaped(section.title)}}}", *map(escaped, section.notes)]
        for table in section.tables:
            texts += [rf"\subsection{{{escaped(table.title)}}}", _tabular(table)]
        texts += map(escaped, section.remarks)
    texts += map(escaped, settings_of_the_paper(rows))
    if left_out:
        texts += [r"\section{Left out}", *map(escaped, left_out)]
    return "\n\n".join([*texts, r"\end{document}"]) + "\n"


def escaped(text: str) -> str:
    r"""Return a text in which no character has a meaning for LaTeX.

    Example:
        >>> escaped("f_1 ± 5 %")
        'f\\_1 $\\pm$ 5 \\%'
    """
    return "".join(CHARACTERS.get(character, character) for character in text)


def _tabular(table: Table) -> str:
    lines = [" & ".join(map(escaped, line)) + r" \\" for line in (table.head, *table.lines)]
    body = "\n".join([r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"])
    tabular = rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}" + f"\n{body}\n" + r"\end{tabular}"
    # a table that is wider than the page becomes as wide as the page
    return r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" + f"\n{tabular}}}"
