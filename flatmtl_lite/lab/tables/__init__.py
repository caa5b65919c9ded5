"""Tables in HTML: read ``progress`` (runs that train), then ``zoo`` (aggregators) and ``algorithm``."""
