"""Two styles that share no form and no paint: ``val`` shows kinds of rooms that ``train`` never shows.

They share the classes, the range of sizes, light and sensor, and the patterns in ``NEUTRAL``.
"""

from dataclasses import dataclass

import numpy as np

from .textures import Colour, Material

# patterns that every style needs: even paint, glass, the backs of books
NEUTRAL = {"plain", "panes", "spines"}
JITTER = 0.025  # standard deviation of a colour's change from scene to scene


def _materials(pattern: str, scale: float, *pairs: str, glow: float = 0.0) -> tuple[Material, ...]:
    """Make one material for each "rrggbb rrggbb"."""
    colours = [map(_colour, pair.split()) for pair in pairs]
    return tuple(Material(pattern, first, second, scale, glow) for first, second in colours)


def _colour(code: str) -> Colour:
    red, green, blue = (byte / 255 for byte in bytes.fromhex(code))
    return red, green, blue


@dataclass(frozen=True)
class Style:
    """The look of a family of rooms.

    Attributes:
        materials: Use ("wall", "wood", ...) to the materials it may have.
        forms: Thing ("bed", "chair", ...) to the forms it may take, names in ``groups.FORMS``.
    """

    materials: dict[str, tuple[Material, ...]]
    forms: dict[str, tuple[str, ...]]

    def draw(self, use: str, rng: np.random.Generator) -> Material:
        """Draw one of the materials for a use, and change its colours a little."""
        choice = self.materials[use]
        material = choice[rng.integers(len(choice))]
        change = JITTER * rng.standard_normal((2, 3))
        first, second = np.clip([material.first, material.second] + change, 0, 1)
        return material._replace(first=first, second=second)


TRAIN = Style(
    materials={
        "wall": (
            *_materials("plain", 0.5, "e6dcc8 dccfb6", "d9c3a0 cdb48c", "cfd6c4 c2cab4", "d6bfb8 cab0a8"),
            *_materials("plain", 0.5, "bcc8d2 aebcc8", "ece8e0 e0dad0"),
            *_materials("stripes", 0.24, "dcd2bc cabd9f", "c8d2cc b3c0b8"),
        ),
        "ceiling": _materials("plain", 1.0, "f0eee8 e4e0d8", "e8e2d4 ddd6c6"),
        "floor": (
            *_materials("planks", 0.13, "b07f4d 5c3d20", "8a5a34 42291a", "caa272 8a6540", "9c5c3c 56301f"),
            *_materials("weave", 0.4, "b0a48e 857a66", "8c8f94 64676c"),
        ),
        "skirting": _materials("plain", 0.5, "f0ece4 e4e0d8", "7c5634 6c4a2c"),
        "rug": (
            *_materials("stripes", 0.25, "8c3a34 d0b48c", "44587a c8c4b4", "6c7c50 d8d0b0"),
            *_materials("weave", 0.5, "a04c3c 7c3428", "d8d0bc b8ac94"),
        ),
        "wood": _materials("grain", 0.5, "a87445 84562f", "64432a 4a2f1c", "c99f6c ab8050", "8c5232 6c3c22"),
        "fabric": (
            *_materials("weave", 0.25, "5c7292 465a78", "9c4a40 7e362e", "6a7c56 526444", "b8a684 9c8a68"),
            *_materials("weave", 0.25, "6e6a6a 545050", "c8b8a8 b0a08e"),
            *_materials("stripes", 0.16, "d8d4c8 7c92ae", "e0d6c4 a8746a"),
        ),
        "linen": _materials("weave", 0.3, "ece8de d8d2c6", "dcdee2 c4c8ce"),
        "curtain": _materials("folds", 0.14, "d8cdb4 b4a688", "a86a58 84483c", "9cacb8 76889a"),
        "accent": (
            *_materials("plain", 0.1, "b03830 902820", "2f6098 244c7c", "3c8450 2c683e", "e0b440 c89c30"),
            *_materials("plain", 0.1, "e8e0d0 d0c8b8", "7c4c88 643a70", "38342f 2a2622", "d8783c bc6430"),
        ),
        "leaf": _materials("weave", 0.3, "3f6e34 28501f", "5a7c3c 3c5c28"),
        "shade": _materials("plain", 0.2, "f4e4c0 ecd8ac", glow=0.9),
        "canvas": _materials("landscape", 0.5, "a8c4d8 4c6a3c", "e0b890 5c4438", "c4d4d8 3c5c78"),
        "screen": _materials("plain", 0.5, "18181c 101014"),
        "glass": _materials("panes", 0.5, "e8e4da c4dcf0", "7c5836 bcd8f4"),
    },
    forms={
        "bed": ("headboard_bed",),
        "sofa": ("arm_sofa",),
        "table": ("leg_table", "panel_table"),
        "chair": ("board_chair", "arm_chair"),
        "shelf": ("closed_shelf",),
        "cabinet": ("drawers",),
        "wardrobe": ("door_wardrobe",),
        "lamp": ("drum_lamp",),
        "pendant": ("drum_pendant",),
        "thing": ("bush", "carton", "pile_of_books", "mug", "drum_lamp"),
    },
)

VAL = Style(
    materials={
        "wall": (
            *_materials("plain", 0.5, "7f9cae 728fa2", "c9a04e bc9244", "88a87e 7a9a70", "b8846c aa7660"),
            *_materials("bricks", 0.09, "b4684c c8c0b4", "d8d4cc bcb6ac"),
            *_materials("dots", 0.3, "b4b8d8 dfe2f0"),
        ),
        "ceiling": _materials("plain", 1.0, "d4dae0 c8ced6", "f6f6f8 eceef0"),
        "floor": (
            *_materials("tiles", 0.4, "c4b8a4 7c7468", "74787c a8acb0", "a85c40 d0b8a4"),
            *_materials("parquet", 0.5, "b8945c 6c5030", "7a6650 40342a"),
        ),
        "skirting": _materials("plain", 0.5, "3c3e42 303236", "c8d0d8 bcc4cc"),
        "rug": (
            *_materials("diamonds", 0.4, "2c6c70 d8c89c", "6a3868 c8a8b8"),
            *_materials("checks", 0.3, "dfe0e0 3c3c44", "d49030 f0dca8"),
        ),
        "wood": _materials("plain", 0.4, "e9e7e2 dcdad4", "35363a 27282c", "7d241f 66191a", "8d9698 7a8486"),
        "fabric": (
            *_materials("checks", 0.2, "2e7f82 8cc0b8", "74447c c4a0c4", "d07a30 ecc890", "444a54 888e98"),
            *_materials("dots", 0.16, "36506c d8dce4", "d4c84c 8c8420"),
        ),
        "linen": _materials("plain", 0.3, "f6f4f8 e8e6ee", "e6d8e4 d8c8d8"),
        "curtain": _materials("checks", 0.2, "e4e8d0 88a05c", "e8d4dc b46c8c"),
        "accent": (
            *_materials("plain", 0.1, "d84878 bc3864", "18a0a0 128484", "94c83c 7cac2c", "f0e890 dcd478"),
            *_materials("plain", 0.1, "a8b8d0 909fb8", "642024 4c1418", "f8f8fc e8e8f0", "4040a0 303088"),
        ),
        "leaf": _materials("plain", 0.05, "4c8c6c 2e6c50", "84a07c 64805c"),
        "shade": _materials("plain", 0.2, "f4f8fc e4ecf8", glow=0.9),
        "canvas": _materials("blocks", 0.5, "e8d43c 2c3c8c", "f4f0e4 c03030", "204c4c e8a860"),
        "screen": _materials("plain", 0.5, "24282e 1a1e24"),
        "glass": _materials("panes", 0.5, "3c4044 d8e4e8", "f8f8fa e4ecf4"),
    },
    forms={
        "bed": ("bar_bed",),
        "sofa": ("bench_sofa",),
        "table": ("pedestal_table",),
        "chair": ("slat_chair", "tub_chair"),
        "shelf": ("ladder_shelf",),
        "cabinet": ("legged_cabinet",),
        "wardrobe": ("legged_cabinet",),
        "lamp": ("globe_lamp",),
        "pendant": ("globe_pendant",),
        "thing": ("cactus", "bowl", "row_of_books", "jar", "globe_lamp"),
    },
)

STYLES = {"train": TRAIN, "val": VAL}
