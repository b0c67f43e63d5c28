"""The exporter's own pages, a file for each; their addresses are those that alerts and dashboards link to."""
