"""Host to samples: what the operating system says about processes. Knows nothing of the registry."""
