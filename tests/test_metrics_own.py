"""The exporter's own health: counted at no cost, exposed through client_python, never the reason that a page fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from headway.metrics.own import OwnMetrics, Tally
from headway.metrics.own_families import OWN_FAMILIES
from headway.metrics.page import Format
from headway.polling.poller import Standing
from headway.settings import Settings


@dataclass
class Figures:
    """What the writer of the store shows of itself."""

    commits_total: int = 41
    commit_groups_total: int = 7
    commit_failures_total: int = 1
    last_commit_seconds: float | None = 0.0125
    pending: int = 3
    dropped_lines_total: int = 2
    errors_total: int = 5
    delivered: int = 6
    given_up: int = 1


def everything() -> OwnMetrics:
    own, figures = OwnMetrics(version="1.2.3"), Figures()
    own.watch_store(figures, size_bytes=lambda: 40_960, up=lambda: True)
    own.watch_sampler(figures)
    own.watch_stream(lambda: 4)
    own.watch_settings(Settings())
    own.watch_since(lambda: 1_790_000_000.0)
    own.watch_announcer(figures)
    own.watch_discovery(lambda: {"web": 2, "db": 0}, lambda: 0.03)
    own.watch_integrations(lambda: {"list": (Standing(looked_at=5.0, succeeded_at=5.0), 2), "new": (Standing(), 0)})
    own.watch_series(lambda: 99)
    own.observe_sample(0.02)
    own.observe_render(0.004)
    own.observe_request("GET", "/api/processes/{id}", 200, 0.003)
    return own


def families(own: OwnMetrics) -> dict[str, Metric]:
    found = {family.name: family for family in parse_openmetrics(own.page(Format.OPENMETRICS).decode())}  # type: ignore[no-untyped-call]
    text = {sample.name for family in parse_text(own.page(Format.TEXT).decode()) for sample in family.samples}
    assert text == {sample.name for family in found.values() for sample in family.samples}
    return found


def value(own: OwnMetrics, name: str, **labels: str) -> float | None:
    samples = [s for f in families(own).values() for s in f.samples if s.name == name and s.labels == labels]
    assert len(samples) <= 1
    return samples[0].value if samples else None


def test_page_has_exactly_the_declared_families() -> None:
    found = families(everything())
    assert set(found) == {family.metadata_name for family in OWN_FAMILIES}
    for family in OWN_FAMILIES:
        assert found[family.metadata_name].documentation == family.help, family.name
        assert found[family.metadata_name].type == family.type.value, family.name
        assert found[family.metadata_name].unit == family.unit, family.name
        labels = {label for sample in found[family.metadata_name].samples for label in sample.labels} - {"le"}
        assert labels == set(family.labels), family.name


def test_an_integration_that_was_not_asked_yet_is_neither_up_nor_down() -> None:
    own = everything()
    assert value(own, "headway_integration_up", integration="list") == 1
    assert value(own, "headway_integration_up", integration="new") is None
    assert value(own, "headway_integration_processes", integration="new") == 0


def test_no_created_series_and_nothing_in_the_global_registry() -> None:
    everything()
    assert b"_created" not in everything().page(Format.OPENMETRICS)
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("headway")]


def test_two_exporters_in_one_process_do_not_mix() -> None:
    one, other = everything(), everything()
    one.observe_request("GET", "/health", 200, 0.001)
    assert value(one, "headway_http_requests_total", method="GET", route="/health", code="200") == 1
    assert value(other, "headway_http_requests_total", method="GET", route="/health", code="200") is None


def test_figures_of_the_store_are_read_when_asked() -> None:
    own, figures = OwnMetrics(), Figures()
    own.watch_store(figures, size_bytes=lambda: 7, up=lambda: figures.pending == 0)
    assert value(own, "headway_store_commits_total") == 41
    assert value(own, "headway_store_up") == 0
    figures.commits_total, figures.pending = 42, 0
    assert value(own, "headway_store_commits_total") == 42
    assert value(own, "headway_store_up") == 1
    assert value(own, "headway_store_size_bytes") == 7


def test_what_cannot_be_read_is_absent_and_the_rest_stays() -> None:
    own, figures = OwnMetrics(), Figures(last_commit_seconds=None)

    def broken() -> int:
        raise OSError("no such file")

    own.watch_store(figures, size_bytes=broken, up=lambda: False)
    assert value(own, "headway_store_size_bytes") is None
    assert value(own, "headway_store_commit_duration_seconds") is None
    assert value(own, "headway_store_up") == 0
    assert "headway_store_size_bytes" not in families(own)


def test_requests_are_counted_by_method_route_and_code() -> None:
    own = OwnMetrics()
    for code in (200, 200, 404):
        own.observe_request("GET", "/api/processes/{id}", code, 0.02)
    own.observe_request("BREW", "other", 405, 0.001)
    assert value(own, "headway_http_requests_total", method="GET", route="/api/processes/{id}", code="200") == 2
    assert value(own, "headway_http_requests_total", method="GET", route="/api/processes/{id}", code="404") == 1
    assert value(own, "headway_http_requests_total", method="other", route="other", code="405") == 1
    assert value(own, "headway_http_request_duration_seconds_count", method="GET") == 3
    assert value(own, "headway_http_request_duration_seconds_bucket", method="GET", le="0.01") == 0
    assert value(own, "headway_http_request_duration_seconds_bucket", method="GET", le="0.025") == 3


def test_tally_puts_a_bound_into_its_own_bucket() -> None:
    tally = Tally((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 2.0, 9.0):
        tally.observe(seconds)
    assert tally.buckets() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert tally.sum == 14.0


def test_own_process_is_this_one_and_absent_without_proc(tmp_path: Path) -> None:
    own_memory = value(OwnMetrics(), "process_resident_memory_bytes")
    assert own_memory is not None and own_memory > 1e6
    fds = value(OwnMetrics(), "process_open_fds")
    assert fds is not None and abs(fds - len(list(Path("/proc/self/fd").iterdir()))) <= 3
    elsewhere = OwnMetrics(proc=str(tmp_path))
    assert not [name for name in families(elsewhere) if name.startswith("process_")]


@pytest.mark.parametrize("form", list(Format))
def test_page_ends_as_its_format_wants(form: Format) -> None:
    page = everything().page(form)
    assert page.endswith(b"# EOF\n") == (form is Format.OPENMETRICS)
    assert page.endswith(b"\n")
