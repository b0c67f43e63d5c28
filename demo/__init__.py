"""Real work for the stack to show: `make demo`. Each file is a script as somebody might have it, and reports in another way."""
