"""From alerts to people: which receivers there are, what Alertmanager is told about them, and what it is asked."""
