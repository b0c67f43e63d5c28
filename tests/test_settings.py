"""Settings: the table, its docs, and where values come from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headway.configuration import Resolved, load
from headway.datadir import VARIABLE, default_data_dir
from headway.errors import ConfigError
from headway.model import Kind, Thresholds
from headway.settings import SETTINGS, Settings, ThresholdRule, document
from headway.view import Limits

ROOT = Path(__file__).resolve().parent.parent


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "headway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def from_file(tmp_path: Path, text: str) -> Resolved:
    return load({}, {}, config(tmp_path, text))


def refusal(argv: dict[str, str], environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(argv, environ, file)
    return caught.value.detail


def test_the_documentation_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == document(), (
        "run: python -m headway.settings > docs/settings.md"
    )


def test_the_example_names_every_setting() -> None:
    example = (Path(__file__).resolve().parent.parent / "exporter" / "headway.yaml").read_text()
    assert [name for name in SETTINGS if f"\n#{name}:" not in example and f"\n{name}:" not in example] == []


def test_defaults_are_those_agreed() -> None:
    s = Settings()
    assert (s.listen, s.external_url, s.anonymous) == ("127.0.0.1:14323", "http://127.0.0.1:14323", "auto")
    assert (s.stuck_after, s.time_sink_ratio, s.time_sink_critical_ratio, s.cpu_ratio, s.memory_ratio) == (60, 2, 3, 0.8, 0.7)
    assert (s.sample_interval, s.zombie_after, s.stop_grace, s.lease, s.cleanup_interval) == (2, 300, 5, 300, 60)
    assert (s.active_retention, s.history_retention, s.history_max) == (1800, 2592000, 100_000)
    assert (s.log_tail_lines, s.log_tail_bytes, s.max_processes, s.max_names) == (500, 262144, 20000, 1000)
    assert s.memory_pss is False
    assert (s.max_body_bytes, s.max_metadata_bytes, s.log_level, s.allowed_hosts) == (4194304, 65536, "info", ())


def test_each_default_is_written_so_that_it_reads_back() -> None:
    s = Settings()
    for name, row in SETTINGS.items():
        if not row.default.startswith("("):
            assert row.form.read(row.default) == getattr(s, name), name
        assert row.form.read(row.form.write(getattr(s, name))) == getattr(s, name), name


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"XDG_STATE_HOME": "/x/state", "HOME": "/home/a"}, 0, "/var/lib/headway"),
        ({"XDG_STATE_HOME": "/x/state", "HOME": "/home/a"}, 1000, "/x/state/headway"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/a"}, 1000, "/home/a/.local/state/headway"),
        ({"HOME": "/home/a"}, 1000, "/home/a/.local/state/headway"),
    ],
)
def test_data_dir_by_default(environ: dict[str, str], uid: int, expected: str) -> None:
    assert default_data_dir(environ, uid) == Path(expected)
    assert SETTINGS["data_dir"].variable == VARIABLE
    assert load({}, environ, uid=uid).settings.data_dir == Path(expected)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = config(tmp_path, "# ours\nstuck_after: 10\nlease: 20\nzombie_after: 30s\n")
    got = load({"stuck_after": "1m30s"}, {"HEADWAY_STUCK_AFTER": "11", "HEADWAY_LEASE": "21"}, file)
    assert (got.settings.stuck_after, got.settings.lease, got.settings.zombie_after) == (90, 21, 30)
    assert got.sources["stuck_after"] == "flag --stuck-after"
    assert got.sources["lease"] == "environment HEADWAY_LEASE"
    assert got.sources["zombie_after"] == f"file {file}:4"
    assert got.sources["listen"] == got.sources["thresholds"] == "default"
    assert got.config_files == (file,)
    assert list(got.sources) == [*SETTINGS, "thresholds"]


def test_an_empty_variable_is_not_set_and_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load({}, {"HEADWAY_LISTEN": " "}, config(tmp_path, "# nothing\n")).settings.listen == Settings().listen


def test_the_external_url_follows_the_address_unless_given() -> None:
    assert load({"listen": "127.0.0.1:1"}, {}).settings.external_url == "http://127.0.0.1:1"
    assert load({"listen": "[::1]:1"}, {}).settings.external_url == "http://[::1]:1"
    assert load({"listen": "0.0.0.0:1"}, {}).settings.external_url == "http://127.0.0.1:1"
    assert load({"listen": "0.0.0.0:1", "external_url": "https://h.example/x/"}, {}).settings.external_url == "https://h.example/x"
    assert load({"listen": "[::1]:80"}, {}).settings.address == ("::1", 80)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_body_bytes", "1 MiB", 1 << 20),
        ("max_body_bytes", "64KiB", 65536),
        ("max_body_bytes", "2000000", 2_000_000),
        ("history_retention", "7d", 604800),
        ("sample_interval", "500ms", 0.5),
        ("memory_pss", "true", True),
        ("cpu_ratio", "2.5", 2.5),
        ("history_max", "60_000", 60_000),
        ("allowed_hosts", "exporter, Host.Example", ("exporter", "host.example")),
        ("anonymous", "None", "none"),
        ("data_dir", "/tmp/x", Path("/tmp/x")),
    ],
)
def test_accepted_forms(name: str, text: str, value: object, tmp_path: Path) -> None:
    assert getattr(load({name: text}, {}).settings, name) == value
    assert getattr(from_file(tmp_path, f"{name}: {text}\n").settings, name) == value


def test_a_list_in_the_file(tmp_path: Path) -> None:
    assert from_file(tmp_path, "allowed_hosts: [exporter, b.example]\n").settings.allowed_hosts == ("exporter", "b.example")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("listen", "14323"),
        ("listen", "host:99999"),
        ("listen", "::1:80"),
        ("listen", "a b:80"),
        ("external_url", "exporter:14323"),
        ("external_url", "ftp://x"),
        ("external_url", "http://x:port"),
        ("stuck_after", "soon"),
        ("stuck_after", "-1"),
        ("stuck_after", "0"),
        ("stuck_after", "nan"),
        ("sample_interval", "0"),
        ("cpu_ratio", "0"),
        ("cpu_ratio", "inf"),
        ("cpu_ratio", "nan"),
        ("memory_ratio", "1.1"),
        ("time_sink_ratio", "1"),
        ("history_max", "0"),
        ("history_max", "1.5"),
        ("max_body_bytes", "4 potatoes"),
        ("max_body_bytes", "1"),
        ("anonymous", "admin"),
        ("anonymous", "operator"),
        ("log_level", "loud"),
        ("allowed_hosts", "http://x"),
        ("allowed_hosts", "*"),
    ],
)
def test_a_wrong_value_is_refused_with_name_source_and_what_is_accepted(name: str, text: str) -> None:
    for argv, environ, source in (
        ({name: text}, {}, f"flag {SETTINGS[name].flag}"),
        ({}, {SETTINGS[name].variable: text}, f"environment {SETTINGS[name].variable}"),
    ):
        said = refusal(argv, environ)
        assert said.startswith(f"{name}: {text!r} ({source}) cannot be used; accepted: "), said
        assert said.endswith(SETTINGS[name].form.accepts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lease: 5m\nstuck_afterr: 5\n", ":2: unknown setting stuck_afterr: did you mean stuck_after?"),
        ("stuck-after: 5\n", ":1: unknown setting stuck-after: did you mean stuck_after?"),
        ("zzz: 5\n", ":1: unknown setting zzz; there are listen, "),
        ("lease: 5m\nlease: 6m\n", ":2: lease stands there twice; first in file "),
        ("a: [1\nb: 2\n", "is not valid YAML"),
        ("- a\n- b\n", ":1: the file has no names in it"),
        ("just text", ":1: the file has no names in it"),
        ("stuck_after: {a: 1}\n", "stuck_after: '{a}' (file "),
        ("stuck_after:\n", "stuck_after: no value (file "),
        ("stuck_after: [1, 2]\n", "stuck_after: '1, 2' (file "),
        ("[a, b]: 1\n", ":1: a name must be plain text"),
        ("thresholds:\n  kind: {}\n", ":2: unknown section thresholds.kind"),
        ("thresholds:\n  type:\n    demon: {}\n", ":3: unknown type demon: did you mean daemon?"),
        ("thresholds:\n  type:\n    task: {cpu_rato: 1}\n", ":3: unknown threshold cpu_rato: did you mean cpu_ratio?"),
        ("thresholds:\n  name:\n    x*:\n      memory_ratio: 7\n", "thresholds.name.x*.memory_ratio: '7' (file "),
        ("thresholds: 5\n", ":1: thresholds has no names in it"),
        ("thresholds:\n  name:\n    '': {}\n", ":3: a pattern of a name has 1 to 200 characters"),
        ("a: &x [*x]\n", "unknown setting a"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_line(text: str, said: str, tmp_path: Path) -> None:
    file = config(tmp_path, text)
    answer = refusal({}, {}, file)
    assert said in answer
    assert str(file) in answer


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal({}, {}, tmp_path / "none.yaml") == f"there is no configuration file {tmp_path / 'none.yaml'}"
    assert "cannot read the configuration file" in refusal({}, {}, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in refusal({}, {}, tmp_path / "binary.yaml")


def test_a_misspelled_variable_is_refused_and_others_of_headway_are_left_alone() -> None:
    assert refusal({}, {"HEADWAY_STUCK_AFTR": "5"}) == (
        "unknown environment variable HEADWAY_STUCK_AFTR: did you mean HEADWAY_STUCK_AFTER?"
    )
    others = {"HEADWAY_URL": "http://x", "HEADWAY_KEY": "k", "HEADWAY_KEY_FILE": "f", "HEADWAY_SPOOL": "s", "HEADWAY_CONFIG": "c"}
    assert load({}, others).settings == load({}, {}).settings
    assert "did you mean stuck_after?" in refusal({"stuck_afte": "1"}, {})


def test_critical_is_never_below_warning() -> None:
    assert refusal({"time_sink_ratio": "4"}, {"HEADWAY_TIME_SINK_CRITICAL_RATIO": "3.5"}) == (
        "time_sink_critical_ratio (3.5, environment HEADWAY_TIME_SINK_CRITICAL_RATIO) is below time_sink_ratio "
        "(4, flag --time-sink-ratio): accepted: the same or more"
    )


MISTAKES = """
listen: nowhere
stuck_afterr: 3m
services:
  web: {comand: x, port: 70000, depends_on: [backup, cache]}
  api: {command: x, depends_on: [web, nobody]}
  api: {command: y}
  backup: {command: x, schedule: "every day"}
  a/b: {command: x}
thresholds:
  type: {robot: {stuck_after: 1m}}
  name: {"x*": {stuck_after: soon, cpu: 3}}
announce: {type: {robot: always}, name: {y: perhaps}}
discover: {a: {}, b: {prot: 1}}
integrations: {x: {command: x}}
prices: {m: {input: 1}, n: {input: much, output: 1}}
time_sink_ratio: 5
time_sink_critical_ratio: none
"""


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    web = tmp_path / "web.yaml"
    web.write_text("rate_limit: {}\nbasic_auth_users: {ann: secret, bob: secret}\n")
    other = tmp_path / "other.yaml"
    other.write_text("services: [")
    with pytest.raises(ConfigError) as caught:
        argv = {"log_level": "loud", "web_config_file": str(web)}
        load(argv, {"HEADWAY_LISTN": "x", "HEADWAY_LEASE": "long"}, [config(tmp_path, MISTAKES), other])
    first, *lines = caught.value.detail.splitlines()
    expected = (
        *("api stands there twice", "unknown setting stuck_afterr: did you mean stuck_after?"),
        *("unknown services.web.comand: did you mean command?", "services.web.port: 70000 is no port"),
        *("services.backup.schedule: 'every day'", "'a/b' cannot be the name of a service"),
        *("unknown type robot", "thresholds.name.x*.stuck_after: 'soon'", "unknown threshold cpu"),
        *("announce.name.y: 'perhaps'", "unknown type robot", "discover.a says nothing", "unknown discover.b.prot"),
        *("integrations.x.fields is missing", "prices.m: input and output", "prices.n.input: 'much'"),
        *(f"file {other}:1 is not valid YAML", "did you mean HEADWAY_LISTEN?", "listen: 'nowhere'"),
        *("time_sink_critical_ratio: 'none'", "lease: 'long' (environment HEADWAY_LEASE)", "log_level: 'loud' (flag --log-level)"),
        *("rate_limit is not supported", "basic_auth_users.ann", "basic_auth_users.bob"),
        # What is wrong is there all the same, and is compared with the others.
        *("services.api.depends_on: unknown service nobody; there are web, api", "services.web.depends_on: unknown service cache"),
    )
    assert first == f"{len(expected)} mistakes in the configuration:"
    for words in expected:
        line = next((line for line in lines if words in line), None)
        assert line is not None, f"{words!r} is not said in:\n{caught.value.detail}"
        lines.remove(line)
    assert lines == []


RULES = """
stuck_after: 2m
thresholds:
  name:
    "nightly-*": {stuck_after: 10m, memory_ratio: 0.9}
    "*-dump": {stuck_after: null}
  type:
    pipeline: {time_sink_ratio: 3, stuck_after: 5m}
    daemon: {cpu_ratio: 2}
"""


def test_thresholds_by_type_and_name(tmp_path: Path) -> None:
    got = from_file(tmp_path, RULES)
    assert got.sources["thresholds"] == f"file {tmp_path / 'headway.yaml'}:3"
    s = got.settings
    assert s.threshold_rules[1] == ThresholdRule({"time_sink_ratio": 3.0, "stuck_after": 300.0}, kind=Kind.PIPELINE)
    plain = Limits(
        stuck_after=120,
        time_sink_ratio=2,
        cpu_ratio=0.8,
        memory_ratio=0.7,
        time_sink_critical_ratio=3,
        time_sink_after=10,
        waiting_after=60,
    )
    assert s.limits(Kind.TASK, "x") == plain
    assert s.limits(Kind.DAEMON, "x") == replace(plain, stuck_after=None, cpu_ratio=2)
    pipeline = replace(plain, stuck_after=300, time_sink_ratio=3, time_sink_critical_ratio=4.5)
    assert s.limits(Kind.PIPELINE, "x") == pipeline
    assert s.limits(Kind.PIPELINE, "nightly-x") == replace(pipeline, stuck_after=600, memory_ratio=0.9)
    assert s.limits(Kind.PIPELINE, "nightly-dump").stuck_after is None
    own = Thresholds(stuck_after=7, cpu_ratio=1.5)
    assert s.limits(Kind.DAEMON, "x", own) == replace(plain, stuck_after=7, cpu_ratio=1.5)


def test_silence_says_nothing_about_a_daemon_unless_asked_for(tmp_path: Path) -> None:
    assert Settings().limits(Kind.DAEMON, "x").stuck_after is None
    asked = from_file(tmp_path, "thresholds: {type: {daemon: {stuck_after: 1h}}}\n").settings
    assert asked.limits(Kind.DAEMON, "x").stuck_after == 3600


def test_yaml_is_read_only_when_there_is_a_file() -> None:
    code = "import sys; from headway.configuration import load; load({}, {}); assert 'yaml' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
