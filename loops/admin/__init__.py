"""Everything of loops and their runs, for support staff: read only, but for what a page asks about first."""

from __future__ import annotations

from loops.admin import jobs, loops, runs

__all__ = ["jobs", "loops", "runs"]
