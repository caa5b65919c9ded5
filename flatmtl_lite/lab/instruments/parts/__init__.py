"""What the instruments are built from.

Read ``picture`` first (panels and their places), then ``landscape``, ``arrows``, ``curve`` and ``lens`` (the
parts that most instruments have), ``labels`` and ``spread`` (where names go), and ``opening``. Each of the
other files holds a part that one or a few instruments need, or the numbers for it: ``angles``, ``points``,
``weighing`` and ``recorded``.
"""
