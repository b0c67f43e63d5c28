"""Ends of processes that somebody is told of: which, in what words, and that they arrive."""
