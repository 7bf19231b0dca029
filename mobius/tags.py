"""What tags may hold, wherever a project's things have them (mobius-contract §1)."""

MOST_TAGS = 8
LONGEST_TAG_KEY = 128
LONGEST_TAG_VALUE = 256
RESERVED_TAGS = "mobius:"
"""How the keys begin that no user may give."""
