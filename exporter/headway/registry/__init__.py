"""The current truth about processes, and the only writer of their records."""
