"""The web configuration file: TLS and basic authentication, in the format that Prometheus exporters share."""
