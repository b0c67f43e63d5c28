"""The configuration file as YAML nodes, which know their lines: what is wrong in it is said with file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from headway.errors import ConfigError
from headway.faults import Faults
from headway.forms import Form, Raw

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")


def compose(path: Path) -> yaml.Node | None:
    """The document's root node, which knows its lines; None when the file is empty."""
    try:
        import yaml
    except ImportError:
        from headway.extras import how_to_install

        raise ConfigError(
            f"cannot read {path}: the exporter is not installed (yaml is missing): {how_to_install('exporter')}"
        ) from None
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the configuration file {path} is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"file {path}{line} is not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"file {path} is not valid YAML: {' '.join(str(error).split())}") from None


def items(node: yaml.Node, what: str, path: Path, faults: Faults) -> list[tuple[str, yaml.Node, str]]:
    """(key, value node, "file NAME:LINE") of a mapping; an absent value is an empty mapping. Raises ConfigError when it is no
    mapping; to `faults` go keys that cannot be used."""
    import yaml

    place = f"file {path}:{node.start_mark.line + 1}"
    if node.tag == "tag:yaml.org,2002:null":
        return []
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{place}: {what} has no names in it; accepted: lines of the form name: value")
    found: dict[str, tuple[str, yaml.Node, str]] = {}
    for key, value in node.value:
        place = f"file {path}:{key.start_mark.line + 1}"
        with faults.noted():
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{place}: a name must be plain text")
            if key.value in found:
                raise ConfigError(f"{place}: {key.value} stands there twice; first in {found[key.value][2]}", field=key.value)
            found[key.value] = (key.value, value, place)
    return list(found.values())


def raw_of(node: yaml.Node) -> Raw | None:
    """The text as it stands there: what YAML would make of 60_000, 1:30 or yes is not what anybody meant."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [str(item.value) if isinstance(item, yaml.ScalarNode) else "(a list)" for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return f"{{{', '.join(str(key.value) for key, _ in node.value)}}}"
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def shown(raw: Raw) -> str:
    text = raw if isinstance(raw, str) else ", ".join(raw)
    return repr(text if len(text) <= 60 else text[:57] + "…")


def suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name.replace("-", "_").lower(), names, n=1)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"


# ── sections with fields of their own ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a section: `name` with the sections it is in (services.web.port), `place` as "file NAME:LINE"."""

    node: yaml.Node
    name: str
    place: str
    path: Path

    def wrong(self, detail: str) -> ConfigError:
        return ConfigError(f"{self.name}: {detail} ({self.place})", field=self.name)


Reader = Callable[[Field], Any]


def fields(node: yaml.Node, what: str, path: Path, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The values that a section gives, each read by the reader of its name. Raises ConfigError naming the field and its line."""
    found: dict[str, Any] = {}
    faults = Faults()
    for key, value, place in items(node, what, path, faults):
        field = Field(value, f"{what}.{key}", place, path)
        with faults.noted():
            if key not in readers:
                raise ConfigError(f"{place}: unknown {what}.{key}{suggestion(key, readers)}", field=field.name)
            if value.tag == "tag:yaml.org,2002:null":
                raise field.wrong("there is no value; leave the line out for the default")
            found[key] = readers[key](field)
    faults.end()
    return found


def one(form: Form[T]) -> Callable[[Field], T]:
    """A reader of one value."""

    def read(field: Field) -> T:
        raw = raw_of(field.node)
        try:
            return form.read("" if raw is None else raw)
        except ValueError as error:
            said = str(error)  # what says no more than what is accepted, or that it is not, is left out
            plain = said.startswith(("not ", "too ", "out of", "could not", "invalid")) or " is not a duration: " in said
            why = "" if plain else f" ({said})"
            raise field.wrong(f"{shown(raw or '')} cannot be used{why}; accepted: {form.accepts}") from None

    return read


def words(field: Field) -> tuple[str, ...]:
    """A list of texts; one text is a list of one."""
    raw = raw_of(field.node)
    found = (raw,) if isinstance(raw, str) else tuple(raw or ())
    if not found or any(not word for word in found):
        raise field.wrong("accepted: a text, or a list of texts that are not empty")
    return found


def texts(field: Field) -> dict[str, str]:
    """Names and texts."""
    found = {}
    faults = Faults()
    for key, node, place in items(field.node, field.name, field.path, faults):
        raw = raw_of(node)
        with faults.noted():
            if isinstance(raw, list):
                raise ConfigError(f"{field.name}.{key}: a list where a text is expected ({place})", field=f"{field.name}.{key}")
            found[key] = raw or ""
    faults.end()
    return found
