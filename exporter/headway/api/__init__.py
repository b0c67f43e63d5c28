"""The HTTP interface: routes, guards and the shapes of requests and answers."""
