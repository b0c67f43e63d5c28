"""The exposition: the table of families, the cached lines and the page that Prometheus reads."""
