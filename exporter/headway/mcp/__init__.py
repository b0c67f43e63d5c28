"""Headway as tools for AI agents, by the Model Context Protocol. A client of the exporter like any other; imports nothing of it.

- ``calls.py``      one call of the exporter: in a thread, with whose key, and its errors as what to do next
- ``shapes.py``     answers that a model can read: what matters, cut to a bound, and how to get the rest
- ``looking.py``    tools that look: processes, problems
- ``judging.py``    tools that judge: analysis, recommendations, limits, the report
- ``reporting.py``  tools with which an agent reports its own work
- ``acting.py``     tools that start and end things
- ``services.py``   tools for configured services
- ``server.py``     all of them as one server, and the resources
- ``web.py``        the server over HTTP
"""
