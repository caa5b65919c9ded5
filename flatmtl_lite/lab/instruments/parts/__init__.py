"""What the instruments are built from.

Read ``panel`` and ``picture`` first (what panels draw, and their places), then ``opening`` (controls,
sentences and the stage). ``landscape``, ``path``, ``arrows``, ``curve`` and ``lens`` hold the parts that most
instruments have, ``labels`` finds places for names. ``cut``, ``angles``, ``bars``, ``space`` and ``mosaic``
hold parts that a few instruments need. ``points``, ``weighing`` and ``recorded`` compute numbers. ``packed``
shortens a call.
"""
