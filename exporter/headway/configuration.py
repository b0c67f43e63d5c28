"""From flags, environment and configuration file to :class:`Settings`, each value with where it came from.

A flag wins over the environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.announcing.rule import DEFAULT_RULES as ANNOUNCED
from headway.announcing.rule import AnnounceRule, by_name_last
from headway.costs import Price
from headway.datadir import default_data_dir
from headway.discovery.rule import Rule
from headway.errors import ConfigError
from headway.expecting.definition import Expected
from headway.faults import Faults
from headway.forms import Raw, dollars
from headway.model import Kind
from headway.polling.definition import Integration
from headway.services.definition import Service
from headway.settings import (
    DEFAULT_RULES,
    ENVIRONMENT_PREFIX,
    NAME_MAX,
    RULE_FORMS,
    SETTINGS,
    Setting,
    Settings,
    ThresholdRule,
)
from headway.yamlfile import compose, fields, items, one, raw_of, shown, suggestion

if TYPE_CHECKING:
    import yaml

DEFAULT: Final = "default"
RULES_KEY: Final = "thresholds"
SERVICES_KEY: Final = "services"
ANNOUNCE_KEY: Final = "announce"
DISCOVERY_KEY: Final = "discover"
EXPECT_KEY: Final = "expect"
PRICES_KEY: Final = "prices"
INTEGRATIONS_KEY: Final = "integrations"
SECTIONS: Final = (RULES_KEY, SERVICES_KEY, DISCOVERY_KEY, ANNOUNCE_KEY, PRICES_KEY, INTEGRATIONS_KEY, EXPECT_KEY)
# A misspelled variable would be ignored silently, but other HEADWAY_… variables are legitimate: refuse only near misses.
_NEAR_MISS: Final = 0.85


@dataclass(frozen=True, slots=True)
class Resolved:
    """`sources`: for each setting "default", "file headway.yaml:12", "environment HEADWAY_LISTEN" or "flag --listen"; the threshold
    rules of the file have the key "thresholds"."""

    settings: Settings
    sources: Mapping[str, str]
    config_files: tuple[Path, ...] = ()
    services: tuple[Service, ...] = ()
    announce: tuple[AnnounceRule, ...] = ANNOUNCED
    discovery: tuple[Rule, ...] = ()
    integrations: tuple[Integration, ...] = ()
    expected: tuple[Expected, ...] = ()


@dataclass(frozen=True, slots=True)
class _Given:
    raw: Raw
    source: str


def load(
    argv_values: Mapping[str, str],
    environ: Mapping[str, str],
    config_files: Path | Sequence[Path] | None = None,
    *,
    uid: int | None = None,
) -> Resolved:
    """`argv_values`: what flags gave, by setting name. Of several files the later wins where both say something; services and rules
    of all of them count. Raises ConfigError naming all settings that are wrong, their sources and what is accepted."""
    files = (config_files,) if isinstance(config_files, Path) else tuple(config_files or ())
    faults = Faults()
    found = _Contents()
    for path in files:
        with faults.noted():
            _file(path, found, faults)
    found.given.update(_environment(environ, faults))
    for name, text in argv_values.items():
        with faults.noted():
            if name not in SETTINGS:
                raise ConfigError(f"unknown setting {name}{suggestion(name, SETTINGS)}", field=name)
            found.given[name] = _Given(text, f"flag {SETTINGS[name].flag}")
    values: dict[str, Any] = {"data_dir": default_data_dir(environ, os.geteuid() if uid is None else uid)}
    sources = dict.fromkeys(SETTINGS, DEFAULT) | {RULES_KEY: found.rules_source}
    for name, value in found.given.items():
        with faults.noted():
            sources[name] = value.source
            values[name] = _read(SETTINGS[name], value)
    settings = Settings(**values, threshold_rules=(*DEFAULT_RULES, *found.rules), prices=tuple(found.prices))
    with faults.noted():
        _fits(settings, sources, {name for name in found.given if name not in values})
    with faults.noted():
        settings = _with_tls(settings, sources)
    resolved = Resolved(
        settings,
        sources,
        files,
        _checked(found.services, faults),
        by_name_last((*ANNOUNCED, *found.announce)),
        _checked_rules(found.discovery, faults),
        _checked_integrations(found.integrations, faults),
        _checked_expected(found, faults),
    )
    faults.end()
    return resolved


def _fits(settings: Settings, sources: Mapping[str, str], unread: Collection[str]) -> None:
    """`unread`: the settings whose values cannot be used; what they would be compared with is not there."""
    small, large = "time_sink_ratio", "time_sink_critical_ratio"
    if settings.time_sink_critical_ratio < settings.time_sink_ratio and not {small, large} & set(unread):
        raise ConfigError(
            f"{large} ({settings.time_sink_critical_ratio:g}, {sources[large]}) is below "
            f"{small} ({settings.time_sink_ratio:g}, {sources[small]}): accepted: the same or more",
            field=large,
        )


def _with_tls(settings: Settings, sources: Mapping[str, str]) -> Settings:
    """The address that links begin with, where the web configuration file asks for TLS."""
    if settings.web_config_file is None:
        return settings
    from headway.webconfig.reading import read

    if read(settings.web_config_file).tls is not None and sources["external_url"] == DEFAULT:
        return replace(settings, external_url=settings.external_url.replace("http:", "https:", 1))
    return settings


def _checked(services: list[Service], faults: Faults) -> tuple[Service, ...]:
    if not services:
        return ()
    from headway.services.reading import checked

    return checked(services, faults)


def _checked_rules(rules: list[Rule], faults: Faults) -> tuple[Rule, ...]:
    from headway.discovery.reading import checked_rules

    return checked_rules(rules, faults) if rules else ()


def _checked_integrations(integrations: list[Integration], faults: Faults) -> tuple[Integration, ...]:
    from headway.polling.reading import checked_integrations

    return checked_integrations(integrations, faults) if integrations else ()


def _checked_expected(found: _Contents, faults: Faults) -> tuple[Expected, ...]:
    if not found.expected:
        return ()
    from headway.expecting.reading import checked_expected

    return checked_expected(found.expected, {one.name for one in found.services if one.schedule is not None}, faults)


def _read(setting: Setting, given: _Given) -> Any:
    try:
        return setting.form.read(given.raw)
    except ValueError:
        raise ConfigError(
            f"{setting.name}: {shown(given.raw)} ({given.source}) cannot be used; accepted: {setting.form.accepts}",
            field=setting.name,
        ) from None


def _environment(environ: Mapping[str, str], faults: Faults) -> dict[str, _Given]:
    by_variable = {setting.variable: name for name, setting in SETTINGS.items()}
    given: dict[str, _Given] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or not text.strip():
            continue
        with faults.noted():
            if variable in by_variable:
                given[by_variable[variable]] = _Given(text, f"environment {variable}")
            elif near := get_close_matches(variable, by_variable, n=1, cutoff=_NEAR_MISS):
                raise ConfigError(f"unknown environment variable {variable}: did you mean {near[0]}?", field=variable)
    return given


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Contents:
    """What all files say."""

    given: dict[str, _Given] = field(default_factory=dict)
    rules: list[ThresholdRule] = field(default_factory=list)
    rules_source: str = DEFAULT
    services: list[Service] = field(default_factory=list)
    announce: list[AnnounceRule] = field(default_factory=list)
    discovery: list[Rule] = field(default_factory=list)
    integrations: list[Integration] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    prices: list[Price] = field(default_factory=list)


def _file(path: Path, found: _Contents, faults: Faults) -> None:
    """Raises ConfigError when it cannot be read at all; `faults` is told of all else that is wrong in it."""
    root = compose(path)
    if root is None:
        return
    for name, value, place in items(root, "the file", path, faults):
        with faults.noted():
            _said(name, value, place, path, found, faults)


def _said(name: str, value: yaml.Node, place: str, path: Path, found: _Contents, faults: Faults) -> None:
    if name == RULES_KEY:
        found.rules += _rules(value, path, faults)
        found.rules_source = place
    elif name == ANNOUNCE_KEY:
        from headway.announcing.reading import read_rules as read_announcements

        found.announce += read_announcements(value, path, faults)
    elif name == SERVICES_KEY:
        from headway.services.reading import read_services

        found.services += read_services(value, path, faults)
    elif name == DISCOVERY_KEY:
        from headway.discovery.reading import read_rules

        found.discovery += read_rules(value, path, faults)
    elif name == INTEGRATIONS_KEY:
        from headway.polling.reading import read_integrations

        found.integrations += read_integrations(value, path, faults)
    elif name == EXPECT_KEY:
        from headway.expecting.reading import read_expected

        found.expected += read_expected(value, path, faults)
    elif name == PRICES_KEY:
        found.prices += _prices(value, path, faults)
    elif name not in SETTINGS:
        raise ConfigError(f"{place}: unknown setting {name}{suggestion(name, [*SETTINGS, *SECTIONS])}", field=name)
    else:
        raw = raw_of(value)
        if raw is None:
            raise ConfigError(f"{name}: no value ({place}); accepted: {SETTINGS[name].form.accepts}", field=name)
        found.given[name] = _Given(raw, place)


def _rules(node: yaml.Node, path: Path, faults: Faults) -> list[ThresholdRule]:
    """Those for kinds before those for names."""
    found: list[ThresholdRule] = []
    for section, rules, place in items(node, RULES_KEY, path, faults):
        with faults.noted():
            if section not in ("type", "name"):
                raise ConfigError(
                    f"{place}: unknown section {RULES_KEY}.{section}{suggestion(section, ['type', 'name'])}", field=RULES_KEY
                )
            for key, limits, line in items(rules, f"{RULES_KEY}.{section}", path, faults):
                with faults.noted():
                    found.append(_rule(section, key, limits, line, path))
    return sorted(found, key=lambda rule: rule.kind is None)


def _rule(section: str, key: str, limits: yaml.Node, line: str, path: Path) -> ThresholdRule:
    where = f"{RULES_KEY}.{section}.{key}"
    if section == "name":
        if not 0 < len(key) <= NAME_MAX:
            raise ConfigError(f"{line}: a pattern of a name has 1 to {NAME_MAX} characters", field=where)
        return ThresholdRule(_limits(limits, where, path), name=key)
    if key not in list(Kind):
        raise ConfigError(f"{line}: unknown type {key}{suggestion(key, list(Kind))}", field=where)
    return ThresholdRule(_limits(limits, where, path), kind=Kind(key))


def _prices(node: yaml.Node, path: Path, faults: Faults) -> list[Price]:
    """Dollars for a million tokens, in and out, by the name of the model or a pattern of it."""
    read = {"input": one(dollars()), "output": one(dollars())}
    found = []
    for model, value, place in items(node, PRICES_KEY, path, faults):
        where = f"{PRICES_KEY}.{model}"
        with faults.noted():
            if not 0 < len(model) <= NAME_MAX:
                raise ConfigError(f"{place}: a pattern of a model has 1 to {NAME_MAX} characters", field=PRICES_KEY)
            given = fields(value, where, path, read)
            if given.keys() != read.keys():
                raise ConfigError(f"{where}: input and output are needed, in dollars for a million tokens ({place})", field=where)
            found.append(Price(model=model, place=place, **given))
    return found


def _limits(node: yaml.Node, where: str, path: Path) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    faults = Faults()
    for limit, value, place in items(node, where, path, faults):
        with faults.noted():
            if limit not in RULE_FORMS:
                raise ConfigError(f"{place}: unknown threshold {limit}{suggestion(limit, RULE_FORMS)}", field=f"{where}.{limit}")
            values[limit] = _limit(limit, raw_of(value), f"{where}.{limit}", place)
    faults.end()
    return values


def _limit(limit: str, raw: Raw | None, where: str, place: str) -> float | None:
    if raw is None:
        return None
    try:
        return RULE_FORMS[limit].read(raw)
    except ValueError:
        raise ConfigError(
            f"{where}: {shown(raw)} ({place}) cannot be used; accepted: {RULE_FORMS[limit].accepts}, or null", field=where
        ) from None
