"""Times of Django admin, to the second, and with the zone that they are in."""

DATETIME_FORMAT = "j M Y, H:i:s e"
