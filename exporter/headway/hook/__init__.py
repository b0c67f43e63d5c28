"""What coding agents call by their hooks: each session and sub-agent becomes a tracked process. Nothing here may cost the agent
time: imports are few and late, one small file is written, and the exporter fetches it.

- ``command.py``  reads one event from stdin, writes what it means to the spool
- ``events.py``   what an event of Claude Code, Codex, Gemini CLI means
- ``openclaw.py`` what an event of OpenClaw means
- ``shapes.py``   ids, names and lines that are made of events
"""
