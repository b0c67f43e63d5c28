"""Dashboards as code (`python -m grafana.generate`), provisioning and configuration. A development tool, never installed."""
