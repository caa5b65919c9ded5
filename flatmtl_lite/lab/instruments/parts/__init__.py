"""What the instruments are built from.

Read ``picture`` first (panels, what they draw, and their places), then ``opening`` (controls, sentences and
the stage). ``landscape``, ``path``, ``arrows``, ``curve`` and ``lens`` hold the parts that most instruments
have, ``labels`` finds places for names. ``cut``, ``angles``, ``bars`` and ``space`` hold parts that a few
instruments need. ``points``, ``weighing`` and ``recorded`` compute numbers.
"""
