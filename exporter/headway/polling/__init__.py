"""Session lists of others: commands that print JSON, asked again and again; each entry of the list is a tracked process."""
