"""Fields that models of several apps have."""

from __future__ import annotations

from functools import partial

from django.db import models

from mobius.ids import ID_LENGTH, new_id


def id_field(prefix: str) -> models.CharField[str, str]:
    """A primary key such as `run_…`: made here, and in the order of time."""
    return models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, prefix), editable=False)
