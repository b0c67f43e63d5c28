"""Permissions that were given without a word: an agent tells that it asks to run a command, and not that somebody allowed it. A
command that was asked for and runs was allowed.

- ``commands.py``  whether such a command runs (blocking)
- ``looking.py``   which sessions asked for one, and what the registry is told
"""
