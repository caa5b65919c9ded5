"""The curves and titles of a figure's panels, for the tests of figures."""


def curve(figure, name: str, column: int = 1, row: int = 1):
    """(x, y) of the line of that name in a panel."""
    number = column + (row - 1) * columns(figure)
    axis = "x" if number == 1 else f"x{number}"
    (trace,) = [t for t in figure.data if t.name == name and t.xaxis == axis and "markers" in t.mode]
    return list(trace.x), list(trace.y)


def columns(figure) -> int:
    return len({figure.layout[axis].domain for axis in figure.layout if axis.startswith("xaxis")})


def titles(figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def lines(run: list[dict], kind: str) -> list[dict]:
    return [line for line in run if line["kind"] == kind]
