"""Ending, pausing and resuming OS process trees. Blocking: runs in a thread, is told everything, and returns values."""
