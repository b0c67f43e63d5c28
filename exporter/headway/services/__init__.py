"""Configured services: what they are, when they run, and who keeps them running."""
