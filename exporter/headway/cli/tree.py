"""`headway tree ID`: its OS processes, with CPU and memory of each, who left the tree, and the processes below it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.rows import Json
from headway.cli.text import clean
from headway.figures import size

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Draws the OS processes of a process as a tree: pid, state, CPU over a quarter of a second, memory, command (secrets masked). Those
that left the tree (a daemon that was forked twice) are marked; below stand the processes that were reported as its children."""
EXAMPLES = """\
  headway tree 0192f0c1-8f7a
  headway tree 0192f0c1-8f7a --json | jq '.os_process | recurse(.children[]) | .pid'
"""
LINES: Final = {True: ("├─ ", "└─ ", "│  ", "   "), False: ("|- ", "`- ", "|  ", "   ")}
NARROWEST: Final = 40


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "tree", run, "draw the OS processes of a process", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", help="the id, or a beginning that only it has; or a name, of which the newest is meant")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    tree = connection.tree(connection.resolve(args.id, by_name=True)["id"])
    if args.json:
        print(json.dumps(tree, indent=2))
        return Exit.OK
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    # Into a pipe whole lines go; on a terminal one line stays one line.
    width = max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    for line in drawn(tree, unicode):
        print(line if width is None or len(line) <= width else line[: width - 1] + ("…" if unicode else ">"))
    return Exit.OK


def drawn(tree: Json, unicode: bool = True) -> Iterator[str]:
    """The lines: what was reported, then its OS processes and what was reported below it."""
    marks = LINES[unicode]
    yield headline(tree)
    yield from below(tree, marks, "")


def below(tree: Json, marks: tuple[str, str, str, str], indent: str) -> Iterator[str]:
    branch, last, through, blank = marks
    nodes = [tree["os_process"]] if tree["os_process"] is not None else []
    items = [*(("os", node) for node in nodes), *(("stray", node) for node in tree.get("strays", ()))]
    items += [("process", child) for child in tree["children"]]
    for number, (kind, item) in enumerate(items):
        final = number == len(items) - 1
        here, further = indent + (last if final else branch), indent + (blank if final else through)
        if kind != "process":
            yield from os_lines(item, marks, here + ("left its tree: " if kind == "stray" else ""), further, tree["id"])
        else:
            yield here + headline(item)
            yield from below(item, marks, further)


def os_lines(node: Json, marks: tuple[str, str, str, str], here: str, further: str, shown: str) -> Iterator[str]:
    branch, last, through, blank = marks
    yield here + about(node, shown)
    children = node["children"]
    for number, child in enumerate(children):
        final = number == len(children) - 1
        yield from os_lines(child, marks, further + (last if final else branch), further + (blank if final else through), shown)


def headline(tree: Json) -> str:
    note = f", {tree['reason']}" if tree["reason"] else ""
    return clean(f"{tree['name']} ({tree['status']}{note})  {tree['id']}")


def about(node: Json, shown: str) -> str:
    cpu = "-" if node["cpu_ratio"] is None else f"{node['cpu_ratio'] * 100:.0f}%"
    memory = "-" if node["memory_bytes"] is None else size(node["memory_bytes"])
    others = [process_id for process_id in node["process_ids"] if process_id != shown]
    more = f"  = {', '.join(others)}" if others else ""
    return clean(f"{node['pid']}  {node['state'] or '-'}  CPU {cpu}  {memory}  {node['command'] or '?'}{more}")
