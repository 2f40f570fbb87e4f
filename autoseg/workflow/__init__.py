"""The whole path in a workspace: a dataset and a request come in, models and their scores go out.

Every step looks at what is there and does only what is not done. Each is imported from its module, so that a command
loads what it needs and no more: torch takes seconds.
"""
