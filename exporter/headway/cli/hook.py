"""`headway hook AGENT`: called by coding agents. The work is in headway.hook; here it is for `--help` and odd command lines."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.hook.command import AGENTS, main

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Coding agents call this by their hooks: it reads one event as JSON from stdin, and makes each session and each sub-agent a tracked
process with its parent, model, project, last action and summary. It only leaves a small file in the spool, which the exporter on
this machine fetches within 5 seconds. It prints nothing (Gemini CLI gets {}), and its exit code is 0 whatever happens. Secrets in
what tools are given are masked, and prompts are not recorded. integrations/ has the configuration of each agent, docs/agents.md
says what is shown."""
EXAMPLES = """\
  headway hook claude-code < event.json
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "hook", run, "take an event of a coding agent", DESCRIPTION, EXAMPLES)
    parser.add_argument("agent", metavar="AGENT", choices=AGENTS, help=", ".join(AGENTS))


def run(args: argparse.Namespace) -> int:
    return main([args.agent])
