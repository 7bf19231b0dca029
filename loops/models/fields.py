"""Fields that several models have."""

from __future__ import annotations

from functools import partial

from django.db import models

from mobius.ids import ID_LENGTH, new_id

STEP_ID_LENGTH = 160
"""A run's id, a colon and the step's own id."""


def id_field(prefix: str) -> models.CharField[str, str]:
    return models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, prefix), editable=False)
