"""Stand-ins for the images of compose.yaml, under their names, made of what is installed on this machine: no image can be fetched
everywhere, and what is tested is the file, not the images.

Prometheus and Alertmanager are the real programs of Debian's packages; the exporter is this clone's, with the Python and the
packages that run the tests; Grafana is a small server that checks what it is given (composed_grafana.py). All have busybox.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[1]
TOOLS: Final = ("sh", "wget", "chmod", "chown", "cat", "sleep", "echo", "id", "ls", "ps", "env")
NOBODY: Final = 65534
GRAFANA: Final = 472
UNNEEDED: Final = re.compile(r"(^|/)(test|tests|idlelib|tkinter|turtledemo|ensurepip|__pycache__|site-packages)(/|$)")


class Rootfs:
    """A root file system as a tar archive. Every file is there once."""

    def __init__(self) -> None:
        self._raw = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._raw, mode="w")
        self._names: set[str] = set()
        for folder in ("tmp", "etc", "proc", "sys", "dev", "run"):
            self.folder(folder, mode=0o1777 if folder == "tmp" else 0o755)
        self.text(
            "etc/passwd", f"root:x:0:0::/root:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}::/:/bin/sh\ngrafana:x:{GRAFANA}:0::/:/bin/sh\n"
        )
        self.text("etc/nsswitch.conf", "hosts: files dns\n")
        self.program(_busybox(), "bin/busybox")
        for tool in TOOLS:
            self.link(f"bin/{tool}", "busybox")

    def _add(self, name: str, data: bytes = b"", *, owner: int = 0, **fields: object) -> None:
        name = name.lstrip("/")
        if name in self._names:
            return
        self._names.add(name)
        info = tarfile.TarInfo(name)
        info.uid = info.gid = owner
        info.size = len(data)
        for key, value in fields.items():
            setattr(info, key, value)
        self._tar.addfile(info, io.BytesIO(data))

    def folder(self, name: str, owner: int = 0, mode: int = 0o755) -> None:
        self._add(name, owner=owner, type=tarfile.DIRTYPE, mode=mode)

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        self._add(name, text.encode(), mode=mode)

    def link(self, name: str, target: str) -> None:
        self._add(name, type=tarfile.SYMTYPE, linkname=target)

    def file(self, source: Path, name: str | None = None) -> None:
        self._add(name or str(source), source.read_bytes(), mode=0o755 if os.access(source, os.X_OK) else 0o644)

    def program(self, source: Path, name: str) -> None:
        """With the libraries it is linked with, where its loader looks for them."""
        self.file(source, name)
        for library in libraries(source):
            self.file(library.resolve(), str(library))

    def tree(self, source: Path, name: str, wanted: Callable[[str], bool] = lambda relative: True) -> None:
        for path in sorted(source.rglob("*")):
            relative = str(path.relative_to(source))
            if path.is_file() and wanted(relative):
                self.file(path, f"{name}/{relative}")
                if path.name.endswith(".so") or ".so." in path.name:
                    for library in libraries(path):
                        self.file(library.resolve(), str(library))

    def bytes(self) -> bytes:
        self._tar.close()
        return self._raw.getvalue()


def libraries(program: Path) -> Iterator[Path]:
    """Absolute paths from ldd; none for a program that is linked statically."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True)
    for found in re.findall(r"(?:=> |^\s*)(/\S+)", done.stdout, re.M):
        yield Path(found)


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise LookupError("there is no busybox: apt-get install busybox")
    return Path(found)


def debian_program(name: str) -> Path:
    """Prometheus or Alertmanager itself: unpacked by `make up` (a script on PATH may start that one), or installed."""
    path = os.pathsep.join((str(ROOT / ".headway/packages/root/usr/bin"), "/usr/bin", os.environ.get("PATH", "")))
    for spelling in (f"prometheus-{name}", name):
        found = shutil.which(spelling, path=path)
        if found is not None and Path(found).read_bytes()[:4] == b"\x7fELF":
            return Path(found)
    raise LookupError(f"there is no {name}: make up, or apt-get install prometheus prometheus-alertmanager")


def distributions(wanted: Iterable[str]) -> list[metadata.Distribution]:
    """What is installed of these requirements, and of what they need."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(text) for text in wanted]
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = requirement.extras or {""}
        if name in found and not requirement.extras:
            continue
        found[name] = metadata.distribution(name)
        for text in found[name].requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return list(found.values())


def python(rootfs: Rootfs) -> None:
    """This Python under its own path, what the exporter needs, and this clone's package in /opt/headway."""
    base = Path(sys.base_prefix)
    interpreter = base / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    rootfs.program(interpreter, str(interpreter))
    library = Path(sysconfig.get_path("stdlib"))
    rootfs.tree(library, str(library), lambda relative: not UNNEEDED.search(relative))
    for one in distributions(["headway[exporter]"]):
        if one.metadata["Name"] == "headway":
            continue
        for part in one.files or ():
            path = Path(str(one.locate_file(part)))
            if ".." not in part.parts and path.is_file() and path.suffix != ".pyc":
                rootfs.file(path, f"/opt/headway/site/{part}")
                if ".so" in path.name:
                    for needed in libraries(path):
                        rootfs.file(needed.resolve(), str(needed))
    rootfs.tree(ROOT / "exporter/headway", "/opt/headway/site/headway", lambda relative: "__pycache__" not in relative)
    for name, words in (("python", ""), ("python3", ""), ("headway", "-m headway ")):
        rootfs.text(f"/opt/headway/bin/{name}", f'#!/bin/sh\nexec {interpreter} {words}"$@"\n', mode=0o755)


def exporter() -> tuple[bytes, Sequence[str]]:
    rootfs = Rootfs()
    python(rootfs)
    return rootfs.bytes(), (
        "ENV PATH=/opt/headway/bin:/bin PYTHONPATH=/opt/headway/site PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        "ENV HEADWAY_LISTEN=0.0.0.0:14323 HEADWAY_DATA_DIR=/var/lib/headway",
        "VOLUME /var/lib/headway",
        'ENTRYPOINT ["headway"]',
        'CMD ["serve"]',
    )


def server(name: str, data: str) -> Callable[[], tuple[bytes, Sequence[str]]]:
    """As the image of that project is: run by nobody, its data in a volume of its own. Debian's have templates beside the program,
    which they look for from the root."""

    def made() -> tuple[bytes, Sequence[str]]:
        rootfs = Rootfs()
        program = debian_program(name)
        rootfs.program(program, f"bin/{name}")
        rootfs.folder(data, owner=NOBODY)
        templates = program.parents[1] / "share/prometheus/alertmanager"
        if name == "alertmanager":
            rootfs.tree(templates, "/usr/share/prometheus/alertmanager", lambda relative: relative.endswith(".tmpl"))
        return rootfs.bytes(), ("ENV PATH=/bin", "USER nobody", f"VOLUME {data}", "WORKDIR /", f'ENTRYPOINT ["/bin/{name}"]')

    return made


def grafana() -> tuple[bytes, Sequence[str]]:
    rootfs = Rootfs()
    python(rootfs)
    rootfs.file(Path(__file__).with_name("composed_grafana.py"), "/opt/grafana.py")
    rootfs.folder("/var/lib/grafana", owner=GRAFANA)
    entry = 'ENTRYPOINT ["/opt/headway/bin/python", "/opt/grafana.py"]'
    return rootfs.bytes(), (
        "ENV PATH=/opt/headway/bin:/bin PYTHONPATH=/opt/headway/site",
        f"USER {GRAFANA}",
        "VOLUME /var/lib/grafana",
        entry,
    )


MADE: Final[Mapping[str, Callable[[], tuple[bytes, Sequence[str]]]]] = {
    "exporter": exporter,
    "prometheus": server("prometheus", "/prometheus"),
    "alertmanager": server("alertmanager", "/alertmanager"),
    "grafana": grafana,
}


def exists(docker: Sequence[str], name: str) -> bool:
    return subprocess.run([*docker, "image", "inspect", name], capture_output=True).returncode == 0


def remove(docker: Sequence[str], names: Iterable[str]) -> None:
    subprocess.run([*docker, "image", "rm", "--force", *names], capture_output=True)


def build(docker: Sequence[str], names: Mapping[str, str]) -> None:
    """`names`: service → the image that compose.yaml names for it."""
    for service, image in names.items():
        data, changes = MADE[service]()
        words = [word for change in changes for word in ("--change", change)]
        done = subprocess.run([*docker, "import", *words, "-", image], input=data, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{image}: {done.stderr.decode(errors='replace')}")
