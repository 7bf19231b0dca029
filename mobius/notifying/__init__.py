"""Telling other systems what happens to runs: signed POSTs to the addresses that a project names.

The contract calls such an address a webhook. That word means a Clay source in this code, so here it is an *endpoint*,
and what is sent to it is a *notification*.
"""
