"""The commands that speak to a console over its API, from any machine: nothing of the server is loaded or needed."""
