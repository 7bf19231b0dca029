"""What the longer commands of `mobius/cli.py` do."""
