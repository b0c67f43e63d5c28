"""The settings as flags, for the commands that read them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from headway.settings import SETTINGS

if TYPE_CHECKING:
    from headway.configuration import Resolved

CONFIG_VARIABLE = "HEADWAY_CONFIG"
# As other exporters spell it.
ALIASES = {"web_config_file": "--web.config.file"}


def add_flags(parser: argparse.ArgumentParser, only: Collection[str] = SETTINGS.keys()) -> None:
    """--config, and a flag for each setting (of `only`)."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        help=f"configuration file (YAML); may be given several times, the later wins. Default: ${CONFIG_VARIABLE}, else none",
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, row in SETTINGS.items():
        if name in only:
            if row.group not in groups:
                groups[row.group] = parser.add_argument_group(row.group.lower())
            default = row.default or "none"
            text = f"{row.help} Default: {default}".replace("%", "%%")
            groups[row.group].add_argument(
                *(row.flag, *(ALIASES[n] for n in ALIASES if n == name)), dest=name, metavar=row.form.word, help=text
            )


def resolve(args: argparse.Namespace) -> Resolved:
    """The settings with these flags over environment and file. Raises ConfigError."""
    from headway.configuration import load

    given = {name: value for name in SETTINGS if (value := getattr(args, name, None)) is not None}
    files = args.config or [name for name in os.environ.get(CONFIG_VARIABLE, "").split(os.pathsep) if name]
    return load(given, os.environ, [Path(name) for name in files])
