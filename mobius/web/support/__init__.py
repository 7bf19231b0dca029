"""What the pages of Django admin have in common: lists of any length, searches by whole ids, deeds that ask first."""
