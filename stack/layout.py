"""Where everything of one clone is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Layout:
    """`root` is the clone; `state` holds everything that is made at run time. `borrowed`: the virtual environment was made by
    somebody else and nothing is installed into it."""

    root: Path
    state: Path
    venv: Path
    borrowed: bool

    @classmethod
    def of(cls, environ: Mapping[str, str], root: Path = ROOT) -> Layout:
        """VENV names another virtual environment, STATE_DIR another folder than .headway; relative to the clone."""
        venv = root / environ.get("VENV", "") if environ.get("VENV") else root / ".venv"
        return cls(root, root / (environ.get("STATE_DIR") or ".headway"), venv, venv != root / ".venv")

    @property
    def run(self) -> Path:
        """What runs: a record for each service."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    def log(self, name: str) -> Path:
        """What a service of the stack writes: the exporter keeps the logs of those that it supervises."""
        return self.logs / "exporter.log" if name == "exporter" else self.state / f"exporter/logs/services/{name}.log"

    @property
    def services(self) -> Path:
        """The configuration that makes Prometheus and its like services of the exporter."""
        return self.state / "services.yaml"

    @property
    def memory(self) -> Path:
        """What the exporter remembers of its services."""
        return self.state / "exporter/services.json"

    @property
    def ports(self) -> Path:
        """The ports that were given, for the next start."""
        return self.state / "ports.txt"

    @property
    def config(self) -> Path:
        """Which configuration files of the user's own were given, for the next start."""
        return self.state / "config.txt"

    @property
    def shell(self) -> Path:
        """To be read by a shell that works with this stack."""
        return self.state / "env"

    @property
    def bin(self) -> Path:
        """Prometheus and Alertmanager, where they are not installed on the machine."""
        return self.state / "bin"

    @property
    def packages(self) -> Path:
        """What they were unpacked from."""
        return self.state / "packages"

    def shown(self, path: Path) -> str:
        """A path as a person in the clone would write it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
