"""The page on monitoring lists exactly the metrics that Seaway exposes."""

import os
import re

import pytest
from prometheus_client import Metric

from seaway.metric_events import DeliveryMethod, UploadOutcome, UploadStage
from seaway.server.gauges import BuildInfo, DatabaseGauges, ProcessGauges
from seaway.server.prometheus_metrics import Metrics
from seaway.server.wiring import Seaway
from seaway.server.worker_metrics import WorkerMetrics
from tests.docs.test_manual import DOCS, rows

PAGE = "operate/monitoring.md"
_SUFFIXES = ("_bucket", "_sum", "_count")

Row = tuple[str, str, str]


@pytest.fixture
def exposed(seaway: Seaway) -> dict[str, Row]:
    """Return type, labels and meaning of every metric that a scrape can contain."""
    metrics = Metrics()
    metrics.request("/", "GET", 200, 0.1)
    metrics.upload(UploadOutcome.REFUSED, "bad-zip")
    metrics.stage(UploadStage.EXAMINE, 0.1)
    metrics.download(DeliveryMethod.WHOLE, 1)
    metrics.job("sweep", 0.1, done=True)
    metrics.unknown_claims("github", 1)
    shared = WorkerMetrics()
    try:
        families = [
            *metrics.registry.collect(),
            *shared.collect(),
            *ProcessGauges(lambda: {"1": os.getpid()}).collect(),
            *BuildInfo().collect(),
            *DatabaseGauges(seaway.site.database, seaway.site.clock, whole_document_limit=0).collect(),
        ]
    finally:
        shared.close()
    return {name_of(family): (family.type, labels_of(family), family.documentation) for family in families}


def name_of(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def labels_of(family: Metric) -> str:
    assert family.samples, family.name
    labels = {label for sample in family.samples for label in sample.labels}
    return ", ".join(f"`{label}`" for label in sorted(labels - {"le"}))


def test_every_metric_is_in_the_manual(exposed: dict[str, Row]) -> None:
    """Name, type, labels and meaning match the code."""
    documented = {row[0].strip("`"): tuple(row[1:]) for row in rows(PAGE) if re.match(r"`(seaway|process)_", row[0])}
    assert exposed == documented


def test_examples_use_existing_metrics(exposed: dict[str, Row]) -> None:
    """An alert rule on a metric that does not exist would never fire."""
    used = set(re.findall(r"\b(?:seaway|process)_[a-z_]+", (DOCS / PAGE).read_text()))
    histograms = {name + suffix for name, row in exposed.items() if row[0] == "histogram" for suffix in _SUFFIXES}
    assert set() == used - set(exposed) - histograms
