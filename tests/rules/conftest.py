"""`pytest tests/rules --hypothesis-profile=long` looks for hours where the usual run looks for seconds."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("long", max_examples=5_000, stateful_step_count=80, derandomize=False)
