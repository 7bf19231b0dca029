"""Everything of loops and their runs, for support staff: read only, but for what a page asks about first."""

from __future__ import annotations

from loops.admin import deliveries, jobs, loops, runs

__all__ = ["deliveries", "jobs", "loops", "runs"]
