"""Pushing files: read them, check them, and let their rows go, each as a run, so that every promise of runs holds."""
