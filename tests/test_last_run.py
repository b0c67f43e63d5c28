"""The last run of a name: its numbers, its duration and its end stay until the next one ends."""

from __future__ import annotations

from headway import Client
from headway.collector import Collector
from headway.metrics.own import OwnMetrics
from headway.model import Cancelled, Kind, Process, Status
from headway.names import LastRun, NameStats
from headway.own_values import VALUE_KEY_MAX, VALUES_MAX, own_values
from headway.store.codec import decode_name, encode_name
from metrics_world import START, ended_state, process
from running import RunningExporter


def ended(name: str, status: Status = Status.DONE, at: float = START + 60, **values: object) -> Process:
    return process(name=name, state=ended_state(status, at), metadata={"values": values} if values else {})


def lines(*names: NameStats, max_names: int = 10) -> dict[str, float]:
    """The series of these in /metrics that are of a last run."""
    collector = Collector(OwnMetrics(), max_names=max_names)
    for stats in names:
        collector.put_name(stats)
    page = collector.page()[0].decode().splitlines()
    mine = ("headway_last_value{", "headway_last_duration_seconds{", "headway_last_finish_timestamp_seconds{")
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page if line.startswith(mine)}


def test_it_is_that_of_the_run_that_ended_last() -> None:
    stats = NameStats(name="Load", kind=Kind.CRON)
    assert lines(stats) == {}, "there was none"
    first = stats.with_end(ended("Load", at=START + 60, records=512, bytes=90_211))
    labels = 'name="Load",kind="cron"'
    assert lines(first) == {
        f'headway_last_value{{{labels},key="records"}}': 512,
        f'headway_last_value{{{labels},key="bytes"}}': 90_211,
        f"headway_last_duration_seconds{{{labels}}}": first.duration_sum,
        f"headway_last_finish_timestamp_seconds{{{labels}}}": START + 60,
    }
    failed = first.with_end(ended("Load", Status.FAILED, at=START + 90, records=3))
    assert failed.last_run == LastRun(START + 90, failed.duration_sum - first.duration_sum, {"records": 3.0}), "whatever came of it"
    silent = failed.with_end(ended("Load", at=START + 95))
    assert silent.last_run is not None and silent.last_run.values == {}, "nothing stale is taken for new"
    waited = failed.with_end(process(name="Load", state=Cancelled(None, START + 99)))
    assert waited.last_run == failed.last_run, "who never began has done nothing"
    assert decode_name(encode_name(failed)) == failed


def test_names_that_are_added_up_have_none() -> None:
    other = NameStats(name="other", kind=Kind.TASK).with_end(ended("Load", records=1))
    assert other.last_run is None
    load, dump = (NameStats(name=name, kind=Kind.TASK).with_end(ended(name, records=1)) for name in ("Load", "Dump"))
    assert lines(load, dump, other, max_names=1) == lines(load)


def test_of_the_numbers_sixteen_count_that_can_be_shown() -> None:
    odd = {"": 1, "two\nlines": 1, "k" * (VALUE_KEY_MAX + 1): 1, "text": "1", "yes": True, "nan": float("nan"), "big": 10**400}
    many = {f"key{n}": n for n in range(VALUES_MAX + 4)}
    assert own_values({"values": odd | many}) == {f"key{n}": float(n) for n in range(VALUES_MAX)}
    assert own_values({"values": [1]}) == own_values({}) == {}


def test_it_outlasts_the_exporter_and_the_series_of_the_process(exporter: RunningExporter) -> None:
    with Client(exporter.url, exporter.key) as client:

        def found() -> dict[str, str]:
            shown = (line for line in client.metrics().splitlines() if line.startswith("headway_last_value{"))
            return dict(line.rsplit(" ", 1) for line in shown)

        run = client.create("Load", "cron", metadata={"values": {"records": 7, "table": 3}})
        assert found() == {}, "not while it runs"
        client.update(run["id"], status="done", metadata={"values": {"records": 512, "table": None}})
        client.dismiss(run["id"])
        assert "headway_process_value{" not in client.metrics()
        assert found() == {'headway_last_value{name="Load",kind="cron",key="records"}': "512.0"}
        exporter.kill()
        exporter.start()
        assert found() == {'headway_last_value{name="Load",kind="cron",key="records"}': "512.0"}
        again = client.create("Load", "cron", metadata={"values": {"records": 9}})
        assert "512.0" in found().values(), "until the next run ends"
        client.update(again["id"], status="failed", error="no disk")
        assert list(found().values()) == ["9.0"]
