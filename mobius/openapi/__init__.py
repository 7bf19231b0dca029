"""The description of `/v1` as OpenAPI 3.1: made by drf-spectacular of the views and of what stands beside them.

Nothing of it is loaded before somebody asks for the document.
"""
