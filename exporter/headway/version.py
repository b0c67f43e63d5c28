"""The one place that says which Headway this is."""

VERSION = "0.1.0"
