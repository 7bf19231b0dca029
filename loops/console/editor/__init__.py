"""The form in which people edit a loop. It writes the same JSON as they would by hand, and loses nothing of it.

A *draft* is the loop's whole JSON; it travels with the form. The form shows the texts of the places that it knows, and
only a text that differs from what was shown is written into the draft. So what the form does not know stays as it is.
"""
