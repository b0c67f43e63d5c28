"""The flags that say what a command may use."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from headway.resources import Resources

T = TypeVar("T")


def add_resource_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it may use")
    group.add_argument(
        "--memory-limit",
        metavar="SIZE",
        type=checked("memory"),
        help="end it, with all its children, when together they use more memory: 512MiB, 2GiB",
    )
    group.add_argument(
        "--cpu-limit", metavar="DURATION", type=checked("cpu_time"), help="end it, with all its children, after so much CPU time"
    )
    group.add_argument("--open-files", metavar="N", type=checked("open_files"), help="how many files each OS process may hold open")
    group.add_argument("--nice", metavar="N", type=checked("nice"), help="let others go first: 0 to 19 (root: -20 to 19)")


def checked(name: str) -> Callable[[str], Any]:
    """Imported only when such a flag is given."""

    def read(value: str) -> Any:
        from headway import resources

        try:
            return getattr(resources, name)(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def resources_of(args: argparse.Namespace) -> Resources:
    from headway.resources import Resources

    return Resources(memory=args.memory_limit, cpu_time=args.cpu_limit, open_files=args.open_files, nice=args.nice)
