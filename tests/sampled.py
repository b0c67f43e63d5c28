"""One sample of one process."""

from __future__ import annotations

from headway.model import OSProcess
from headway.sampler.tree_sampler import TreeSampler
from headway.samples import Sample


def one(sampler: TreeSampler, process: OSProcess) -> Sample:
    return sampler.sample({"p": process})["p"]


def cpu(sampler: TreeSampler, process: OSProcess) -> float:
    seconds = one(sampler, process).cpu_seconds
    assert seconds is not None
    return seconds
