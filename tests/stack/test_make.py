"""make up, down, status: what they start, that they are idempotent, and that they touch nothing of anybody else."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from live_stack import NAMES, ROOT, LiveStack, fetch, free_ports
from waiting import wait_until


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_up_twice_status_down_twice(stack: LiveStack) -> None:
    before = stack.make("status")
    assert before.returncode != 0 and before.stdout.count("stopped") == 3

    said = stack.up()
    assert "is remembered for later starts" in said and "from an earlier start" not in said
    pids = stack.pids()
    assert set(pids) == set(NAMES) and all(map(is_alive, pids.values()))
    for name in NAMES:  # the table says truly where each one is
        row = rf"{name} +ready +http://127.0.0.1:{stack.ports[name]} +{pids[name]} +\S+/{name}.log"
        assert re.search(row, said), said
    assert "docker compose up" in said  # how to get Grafana, which is not on this machine

    # The file it names is all that a shell needs to work with this exporter and no other.
    assert ". " in said and str(stack.state / "env") in said
    commands = "headway key create --name shell --role operator --out $0 && headway config && HEADWAY_KEY_FILE=$0 headway cleanup"
    shell = ["sh", "-c", f". {stack.state}/env && {commands}", str(stack.state / "shell.key")]
    bare = {"PATH": os.environ["PATH"], "HEADWAY_KEY": "of another exporter"}
    done = subprocess.run(shell, env=bare, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and str(stack.state / "exporter") in done.stdout, done.stderr
    asked = subprocess.run(("sh", "-c", f". {stack.state}/env && headway snooze --list"), env=bare, capture_output=True, text=True)
    assert asked.returncode == 0, f"it speaks to the Alertmanager of this stack: {asked.stderr}"
    # Prometheus has the rules, and the exporter the names: what neither knows is probably a mistake.
    snooze = (
        ". {}/env && headway snooze --alert HeadwayProcessStcuk --name Nobody 1m && headway snooze --alert HeadwayProcessStuck 1m"
    )
    odd = subprocess.run(("sh", "-c", snooze.format(stack.state)), env=bare, capture_output=True, text=True, timeout=60)
    assert odd.returncode == 0 and odd.stdout.count("quiet for 1m") == 2, odd.stderr
    assert odd.stderr.splitlines() == [
        "headway: Prometheus has no alert HeadwayProcessStcuk: did you mean HeadwayProcessStuck?",
        "headway: no process and no service is called Nobody (case counts): headway ps --all lists them",
    ]
    check = ("sh", "-c", f". {stack.state}/env && headway alerting check")
    checked = subprocess.run(check, env=bare, cwd=stack.state.parent, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and f"runs at {stack.url('alertmanager')}" in checked.stdout, checked.stdout + checked.stderr
    assert f"put its secret into {ROOT / 'alerting/secrets/slack.url'}" in checked.stdout, "wherever the shell is"
    wrong = stack.make("logs", SERVICE="nope")
    assert wrong.returncode != 0 and "there is no service nope" in wrong.stdout and "headway logs nope" in wrong.stdout

    again = stack.up()
    assert "everything runs already" in again and stack.pids() == pids
    assert stack.make("status").returncode == 0
    # Ports may be left out while it runs: they are those it runs on.
    ports = {f"{name.upper()}_PORT": "" for name in stack.ports}
    assert "everything runs already" in stack.up(**ports) and stack.pids() == pids

    missing = stack.make("up", HEADWAY_CONFIG="/none.yaml")
    assert missing.returncode != 0 and "/none.yaml cannot be read" in missing.stdout and stack.pids() == pids
    words = ["make", "--no-print-directory", "down", "up", "HEADWAY_WEBHOOK_URL=nowhere"]
    wrong = subprocess.run(words, cwd=stack.root, env=stack.environ, capture_output=True, text=True, timeout=120)
    assert wrong.returncode != 0 and "HEADWAY_WEBHOOK_URL cannot be used" in wrong.stderr
    assert stack.pids() == pids and all(map(is_alive, pids.values())), "nothing is ended before that is mended"
    reader, writer = os.pipe()
    os.close(reader)
    up = ["make", "--no-print-directory", "up"]
    quiet = subprocess.run(up, cwd=stack.root, env=stack.environ, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (quiet.returncode, quiet.stderr) == (0, "")

    said = stack.down()
    assert all(f"{name} stopped" in said for name in NAMES)
    assert not any(map(is_alive, pids.values()))
    assert "nothing runs" in stack.down()


def test_each_is_ready_and_told_of_the_others(live: LiveStack) -> None:
    assert fetch(f"{live.url('exporter')}/ready")["status"] == "ready"
    live.wait_for('up{job="headway"} == 1')
    managers = wait_until(lambda: fetch(f"{live.url('prometheus')}/api/v1/alertmanagers")["data"]["activeAlertmanagers"], 30)
    assert [m["url"] for m in managers] == [f"{live.url('alertmanager')}/api/v2/alerts"]
    rules = [rule for group in fetch(f"{live.url('prometheus')}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
    assert len(rules) >= 11 and {rule["health"] for rule in rules} <= {"ok", "unknown"}
    flags = fetch(f"{live.url('prometheus')}/api/v1/status/flags")["data"]
    assert flags["web.external-url"] == live.url("prometheus")


def test_everything_listens_on_loopback_only(live: LiveStack) -> None:
    pids = set(live.pids().values())
    inodes = {
        match[1]
        for pid in pids
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if (match := re.match(r"socket:\[(\d+)\]", os.readlink(link)))  # noqa: PTH115
    }
    listening = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(fields[1].split(":")[0])
    assert listening == {"0100007F"}, "every listener is at 127.0.0.1"


def test_the_runbook_is_where_alerts_point_to(live: LiveStack) -> None:
    import urllib.request

    with urllib.request.urlopen(f"{live.url('prometheus')}/user/runbook.txt") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.read() == (ROOT / "prometheus/runbook.md").read_bytes()


def test_a_busy_port_is_named_before_anything_is_started(stack: LiveStack) -> None:
    with socket.create_server(("127.0.0.1", stack.ports["prometheus"])):
        done = stack.make("up")
    assert done.returncode != 0
    assert f"port {stack.ports['prometheus']} for prometheus is in use by" in done.stdout
    assert f"(pid {os.getpid()})" in done.stdout and "PROMETHEUS_PORT=" in done.stdout
    assert stack.pids() == {} and not (stack.state / "log").exists()


def test_what_died_is_started_again_and_the_rest_left_alone(stack: LiveStack) -> None:
    stack.up()
    before = stack.pids()
    os.kill(before["exporter"], signal.SIGKILL)
    wait_until(lambda: not is_alive(before["exporter"]), what="the exporter is gone")
    status = stack.make("status")
    assert status.returncode != 0 and re.search("exporter +died", status.stdout)
    stack.up()
    after = stack.pids()
    assert after["exporter"] != before["exporter"]
    assert {n: p for n, p in after.items() if n != "exporter"} == {n: p for n, p in before.items() if n != "exporter"}


def test_the_stack_is_kept_by_its_own_exporter_and_stands_in_its_metrics(stack: LiveStack) -> None:
    stack.up()
    before = stack.pids()
    stack.wait_for('headway_service_status_code{service="prometheus",group="stack"} == 2')
    stack.wait_for('headway_process_resident_memory_bytes{name="alertmanager",kind="daemon"} > 0')
    os.kill(before["prometheus"], signal.SIGKILL)
    wait_until(lambda: stack.pids().get("prometheus", before["prometheus"]) != before["prometheus"], 30, "a new prometheus")
    stack.wait_for('headway_service_restarts_total{service="prometheus"} == 1', 30)
    assert stack.make("status").returncode == 0


def test_down_ends_the_others_too_when_the_exporter_has_died(stack: LiveStack) -> None:
    stack.up()
    pids = stack.pids()
    os.kill(pids["exporter"], signal.SIGKILL)
    wait_until(lambda: not is_alive(pids["exporter"]), what="the exporter is gone")
    said = stack.down()
    assert all(f"{name} stopped" in said for name in ("prometheus", "alertmanager")) and "exporter was gone" in said
    assert not any(map(is_alive, pids.values()))
    stack.up()
    assert not set(stack.pids().values()) & set(pids.values())


def test_services_of_the_users_own_come_and_go_with_the_stack(stack: LiveStack) -> None:
    config = stack.state.parent / "mine.yaml"
    config.write_text("services: {mine: {command: sleep 4711.5}, off: {command: sleep 4711.6, autostart: false}}")
    said = stack.up(HEADWAY_CONFIG=str(config))
    ports = " ".join(f"{name.upper()}_PORT={stack.ports[name]}" for name in ("exporter", "prometheus", "alertmanager", "grafana"))
    assert f"{ports} is remembered" in said and f"HEADWAY_CONFIG={config} is remembered" in said, said
    before = wait_until(lambda: stack.pids().get("mine"), what="the service")
    said = stack.down()
    assert "mine stopped" in said and "off" not in said and not is_alive(before or 0)
    stack.telling = False
    status = stack.make("status").stdout
    assert (
        f"{ports} is remembered" in status and "EXPORTER_PORT= PROMETHEUS_PORT= ALERTMANAGER_PORT= GRAFANA_PORT= make up" in status
    )
    # Remembered: the configuration, and the ports. A shell that read the file of another clone does not change that.
    other = stack.state.parent / "env"
    other.write_text("export HEADWAY_ALERTMANAGER_URL=http://127.0.0.1:1 HEADWAY_LOG_DIR=/nowhere/logs\n")
    elsewhere = {"HEADWAY_ALERTMANAGER_URL": "http://127.0.0.1:1", "HEADWAY_LOG_DIR": "/nowhere/logs"}
    stack.up(HEADWAY_SHELL=str(other), **elsewhere)
    assert fetch(f"{stack.url('exporter')}/ready")["status"] == "ready"
    environment = Path(f"/proc/{stack.pids()['exporter']}/environ").read_text()
    assert f"HEADWAY_ALERTMANAGER_URL={stack.url('alertmanager')}" in environment and "/nowhere" not in environment
    after = wait_until(lambda: stack.pids().get("mine"), what="the service again")
    assert after != before and "off" not in stack.pids()
    config.write_text("services: {mine: {command: sleep 4711.7}}")
    assert "exporter: running with other settings" in stack.up()
    # What is wrong is said while it runs, too, before somebody ends it and it cannot start again.
    running = stack.pids()
    for text, words in (
        (
            'services: {mine: {command: sleep 4711.7, schedule: "61 * * * *"}}',
            "services.mine.schedule: '61 * * * *' cannot be used",
        ),
        ("discover: {mine: {prot: 80}}", "unknown discover.mine.prot: did you mean port?"),
        ("services: {prometheus: {command: sleep 1}}", "services.prometheus stands there twice"),
    ):
        config.write_text(text)
        done = stack.make("up")
        assert done.returncode != 0 and words in done.stdout and f"HEADWAY_CONFIG={config} is remembered" in done.stdout, (
            done.stdout
        )
        assert "run on with the configuration they were started with" in done.stdout and stack.pids() == running
    ending = subprocess.run(
        ["make", "--no-print-directory", "down", "up"],
        cwd=stack.root,
        env=stack.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ending.returncode != 0 and "is not valid" in ending.stderr and stack.pids() == running
    os.kill(stack.pids()["exporter"], signal.SIGKILL)
    assert "mine stopped" in stack.down() and not is_alive(after or 0)


def test_another_port_for_what_runs_is_refused(stack: LiveStack) -> None:
    stack.up()
    before = stack.pids()
    (other,) = free_ports(1)
    done = stack.make("up", ALERTMANAGER_PORT=str(other))
    assert done.returncode != 0 and "make down" in done.stdout
    assert stack.pids() == before and all(map(is_alive, before.values()))


def test_down_leaves_a_stranger_with_a_remembered_pid_alone(stack: LiveStack) -> None:
    stack.up()
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        record = stack.state / "run/exporter.json"
        exporter = stack.pids()["exporter"]
        record.write_text(record.read_text().replace(f'"pid": {exporter}', f'"pid": {stranger.pid}'))
        assert "exporter was gone" in stack.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        os.kill(exporter, signal.SIGTERM)  # whom the forged record hid


def test_a_start_that_fails_says_why_and_leaves_nothing_running(stack: LiveStack) -> None:
    config = stack.state.parent / "wrong.yaml"
    config.write_text("stuck_aftre: 5s\n")
    done = stack.make("up", HEADWAY_CONFIG=str(config))
    assert done.returncode != 0
    assert f"{config}:1: unknown setting stuck_aftre: did you mean stuck_after" in done.stdout
    assert f"HEADWAY_CONFIG={config} is not remembered" in done.stdout and not (stack.state / "config.txt").exists()
    assert stack.pids() == {} and not (stack.state / "log/exporter.log").exists(), "it was seen before anything was started"
    (web := config.with_name("web.yaml")).write_text("tls_server_config: {cert_file: /none/a, key_file: /none/b}\n")
    config.write_text(f"web_config_file: {web}\n")  # whether the certificate is there is seen at the start
    done = stack.make("up", HEADWAY_CONFIG=str(config))
    assert done.returncode != 0 and "exporter ended at once" in done.stdout and "/none/" in done.stdout
    assert stack.pids() == {}
    again = stack.make("up").stdout
    assert f"HEADWAY_CONFIG={config} is remembered" in again and "HEADWAY_CONFIG= make up forgets it" in again
    missing = stack.make("up", HEADWAY_CONFIG=f"{config}.nope")
    assert missing.returncode != 0 and "wrong.yaml.nope cannot be read (No such file" in missing.stdout
    assert (stack.state / "config.txt").read_text() == str(config), "what cannot be read is not remembered"
    config.unlink()
    gone = stack.make("up")
    assert gone.returncode != 0 and "HEADWAY_CONFIG= make up forgets it" in gone.stdout and "No such file" in gone.stdout
    for name in NAMES:
        with socket.create_server(("127.0.0.1", stack.ports[name])):
            pass  # the port is free


def test_the_webhook_is_secret_remembered_and_forgotten(stack: LiveStack) -> None:
    address = "https://hooks.example/T0/secret?x=1&y=|2"
    config = stack.state / "alertmanager/alertmanager.yml"
    stack.up(HEADWAY_WEBHOOK_URL=address)
    assert f"url: {address}\n" in config.read_text()
    for path in (config, stack.state / "alertmanager/webhook.url"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stack.down()
    stack.up()
    assert address in config.read_text(), "remembered"
    assert "other settings" in stack.up(HEADWAY_WEBHOOK_URL="https://other.example/"), "said, and not changed under way"
    stack.down()
    stack.up(HEADWAY_WEBHOOK_URL="")
    assert address not in config.read_text(), "forgotten"


def test_a_webhook_that_is_no_address_is_refused_before_anything_is_started(stack: LiveStack) -> None:
    for wrong in ("ftp://a/b", 'http://a/"b', "http://a b", "http://a/\nb"):
        done = stack.make("up", HEADWAY_WEBHOOK_URL=wrong)
        assert done.returncode != 0 and "HEADWAY_WEBHOOK_URL cannot be used" in done.stdout
        assert stack.pids() == {}


def test_two_clones_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    clones = []
    for name in ("one", "two"):
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", "--depth", "1", f"file://{ROOT}", str(tmp_path / name)], check=True)
        clones.append(LiveStack(tmp_path / name / ".headway", tmp_path / name))
    one, two = clones
    try:
        one.up()
        two.up()
        for mine, other in ((one, two), (two, one)):
            name = f"in {mine.root.name}"
            script = f"from headway import Reporter; Reporter({name!r}, total=2).done()"
            subprocess.run([sys.executable, "-c", script], env=mine.client_env, check=True)
            labels, _ = mine.wait_for(f'headway_process_status_code{{name="{name}"}} == 10')[0]
            assert labels["instance"] == f"127.0.0.1:{mine.ports['exporter']}"
            assert other.query(f'headway_process_status_code{{name="{name}"}}') == []
        pids = two.pids()
        one.down()
        rules = two.root / "prometheus/rules/stuck.yml"
        rules.write_text(rules.read_text().replace("expr:", "expr: )", 1))
        routes = two.root / "alerting/alertmanager.yml"
        routes.write_text(routes.read_text().replace("receiver: everything", "receiver: no-such-one", 1))
        config = tmp_path / "mine.yaml"
        config.write_text("stuck_afterr: 1m\nservices: {mine: {command: x, port: 0}}")
        wrong = two.make("up", HEADWAY_CONFIG=str(config))
        for words in (  # all of it at once
            "2 mistakes in the configuration",
            "unknown setting stuck_afterr: did you mean stuck_after?",
            "services.mine.port: '0' cannot be used",
            "the configuration of Alertmanager is not valid",
            "no-such-one",
            "a rule is not valid",
            "stuck.yml",
        ):
            assert wrong.returncode != 0 and words in wrong.stdout, wrong.stdout
        assert all(map(is_alive, pids.values())) and two.make("status").returncode == 0
        assert not (one.root / ".headway/exporter").samefile(two.root / ".headway/exporter")
    finally:
        for clone in clones:
            clone.make("down")
