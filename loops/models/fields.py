"""What several models agree on."""

from __future__ import annotations

STEP_ID_LENGTH = 160
"""A run's id, a colon and the step's own id."""
