"""Names of which others start the runs, and when one is due: that none began is told."""
