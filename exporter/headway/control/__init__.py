"""Control: what people do to processes from here. Chooses, lets the blocking work run in threads, and tells the registry."""
