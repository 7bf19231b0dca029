"""Loop versions and their parsed specs. A version never changes, so each is read and parsed once a process."""

from __future__ import annotations

from functools import lru_cache

from loops.models import LoopVersion
from loops.spec import LoopSpec


@lru_cache(maxsize=1000)
def version_of(version_id: str) -> LoopVersion:
    return LoopVersion.objects.get(pk=version_id)


@lru_cache(maxsize=1000)
def spec_of(version_id: str) -> LoopSpec:
    return LoopSpec.from_stored(version_of(version_id).spec)
