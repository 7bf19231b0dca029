"""Telling people what needs them: one message when something breaks, and one when it is over.

A *condition* is something that should not last, of one thing: an integration that fails, rows in doubt. An *alert* is
one that was noticed; it is open until the condition has stayed away for a while. *Recipients* get it by e-mail,
endpoints (`mobius.notifying`) as the events `alert.*`.
"""
