"""Backups: one file with the database in it, made while the console works, and restored into an empty place."""
