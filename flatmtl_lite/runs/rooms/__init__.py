"""Synthetic rooms: furnished rooms drawn from a seed, with labels, depth and normals, in the form of NYUv2.

They stand in for NYUv2 where it is missing. Figures on them say nothing about NYUv2: say "synthetic rooms"
wherever they appear.

To read: ``sample`` (one sample from one seed), ``scene`` (where things stand), ``groups``, ``furniture`` and
``things`` (the things), ``styles`` and ``textures`` (how they look), ``renderer`` over ``solids`` and
``camera`` (rays and light), ``sensor`` (a Kinect's picture of the scene), ``files`` (the folder on disk).
"""

from .files import ORIGIN, add_arguments, ensure_rooms, main, write_rooms
from .labels import CLASSES
from .sample import render

__all__ = ["CLASSES", "ORIGIN", "render", "ensure_rooms", "write_rooms", "add_arguments", "main"]
