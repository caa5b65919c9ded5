"""Turns notebooks and runs into pages: ``editions``, then ``build``, ``site`` and ``report_page``."""
