"""From flags, environment and configuration file to :class:`Settings`, each value with where it came from.

A flag wins over the environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.errors import ConfigError
from headway.forms import Raw
from headway.model import Kind
from headway.settings import (
    DEFAULT_RULES,
    ENVIRONMENT_PREFIX,
    NAME_MAX,
    SETTINGS,
    THRESHOLD_FORMS,
    Setting,
    Settings,
    ThresholdRule,
    default_data_dir,
)
from headway.yamlfile import compose, items, raw_of, shown, suggestion

if TYPE_CHECKING:
    import yaml

DEFAULT: Final = "default"
RULES_KEY: Final = "thresholds"
# A misspelled variable would be ignored silently, but other HEADWAY_… variables are legitimate: refuse only near misses.
_NEAR_MISS: Final = 0.85


@dataclass(frozen=True, slots=True)
class Resolved:
    """`sources`: for each setting "default", "file headway.yaml:12", "environment HEADWAY_LISTEN" or "flag --listen"; the threshold
    rules of the file have the key "thresholds"."""

    settings: Settings
    sources: Mapping[str, str]
    config_file: Path | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    raw: Raw
    source: str


def load(
    argv_values: Mapping[str, str], environ: Mapping[str, str], config_file: Path | None = None, *, uid: int | None = None
) -> Resolved:
    """`argv_values`: what flags gave, by setting name. Raises ConfigError naming the setting, its source and what is accepted."""
    given, rules, rules_source = _file(config_file) if config_file is not None else ({}, DEFAULT_RULES, DEFAULT)
    given.update(_environment(environ))
    for name, text in argv_values.items():
        if name not in SETTINGS:
            raise ConfigError(f"unknown setting {name}{suggestion(name, SETTINGS)}", field=name)
        given[name] = _Given(text, f"flag {SETTINGS[name].flag}")
    values: dict[str, Any] = {"data_dir": default_data_dir(environ, os.geteuid() if uid is None else uid)}
    sources = dict.fromkeys(SETTINGS, DEFAULT) | {RULES_KEY: rules_source}
    for name, value in given.items():
        values[name] = _read(SETTINGS[name], value)
        sources[name] = value.source
    settings = Settings(**values, threshold_rules=rules)
    if settings.time_sink_critical_ratio < settings.time_sink_ratio:
        raise ConfigError(
            f"time_sink_critical_ratio ({settings.time_sink_critical_ratio:g}, {sources['time_sink_critical_ratio']}) is below "
            f"time_sink_ratio ({settings.time_sink_ratio:g}, {sources['time_sink_ratio']}): accepted: the same or more",
            field="time_sink_critical_ratio",
        )
    return Resolved(settings, sources, config_file)


def _read(setting: Setting, given: _Given) -> Any:
    try:
        return setting.form.read(given.raw)
    except ValueError:
        raise ConfigError(
            f"{setting.name}: {shown(given.raw)} ({given.source}) cannot be used; accepted: {setting.form.accepts}",
            field=setting.name,
        ) from None


def _environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    by_variable = {setting.variable: name for name, setting in SETTINGS.items()}
    given: dict[str, _Given] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or not text.strip():
            continue
        if variable in by_variable:
            given[by_variable[variable]] = _Given(text, f"environment {variable}")
        elif near := get_close_matches(variable, by_variable, n=1, cutoff=_NEAR_MISS):
            raise ConfigError(f"unknown environment variable {variable}: did you mean {near[0]}?", field=variable)
    return given


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _file(path: Path) -> tuple[dict[str, _Given], tuple[ThresholdRule, ...], str]:
    root = compose(path)
    given: dict[str, _Given] = {}
    rules: tuple[ThresholdRule, ...] = DEFAULT_RULES
    rules_source = DEFAULT
    if root is None:
        return given, rules, rules_source
    for name, value, place in items(root, "the file", path):
        if name == RULES_KEY:
            rules, rules_source = DEFAULT_RULES + tuple(_rules(value, path)), place
            continue
        if name not in SETTINGS:
            raise ConfigError(f"{place}: unknown setting {name}{suggestion(name, [*SETTINGS, RULES_KEY])}", field=name)
        raw = raw_of(value)
        if raw is None:
            raise ConfigError(f"{name}: no value ({place}); accepted: {SETTINGS[name].form.accepts}", field=name)
        given[name] = _Given(raw, place)
    return given, rules, rules_source


def _rules(node: yaml.Node, path: Path) -> list[ThresholdRule]:
    by_kind: list[ThresholdRule] = []
    by_name: list[ThresholdRule] = []
    for section, rules, place in items(node, RULES_KEY, path):
        if section not in ("type", "name"):
            raise ConfigError(
                f"{place}: unknown section {RULES_KEY}.{section}{suggestion(section, ['type', 'name'])}", field=RULES_KEY
            )
        for key, limits, line in items(rules, f"{RULES_KEY}.{section}", path):
            where = f"{RULES_KEY}.{section}.{key}"
            if section == "name":
                if not 0 < len(key) <= NAME_MAX:
                    raise ConfigError(f"{line}: a pattern of a name has 1 to {NAME_MAX} characters", field=where)
                by_name.append(ThresholdRule(_limits(limits, where, path), name=key))
            elif key in list(Kind):
                by_kind.append(ThresholdRule(_limits(limits, where, path), kind=Kind(key)))
            else:
                raise ConfigError(f"{line}: unknown type {key}{suggestion(key, list(Kind))}", field=where)
    return by_kind + by_name


def _limits(node: yaml.Node, where: str, path: Path) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for limit, value, place in items(node, where, path):
        if limit not in THRESHOLD_FORMS:
            raise ConfigError(f"{place}: unknown threshold {limit}{suggestion(limit, THRESHOLD_FORMS)}", field=f"{where}.{limit}")
        raw = raw_of(value)
        if raw is None:
            values[limit] = None
            continue
        try:
            values[limit] = THRESHOLD_FORMS[limit].read(raw)
        except ValueError:
            raise ConfigError(
                f"{where}.{limit}: {shown(raw)} ({place}) cannot be used; accepted: {THRESHOLD_FORMS[limit].accepts}, or null",
                field=f"{where}.{limit}",
            ) from None
    return values
