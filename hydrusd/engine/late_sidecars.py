"""What of a rule is done for a sidecar that comes after the rule has had its file. Pure.

Such a job is about the sidecar alone: its file was imported, and whatever else the rule does
with a file was done. Doing it again would notify twice, count a viewing twice, run a program
twice. So only the steps run that take sidecars, or whose templates speak of them.
"""

from __future__ import annotations

from hydrusd.engine.compiling import CompiledRule
from hydrusd.model import Job, Outcome
from hydrusd.plugin import Sidecars


def outcome_without_running(rule: CompiledRule, job: Job) -> Outcome | None:
    """Give the outcome of a job's step where it is not to run for want of a use; else None."""
    if "sidecar" not in job.data:
        return None
    sidecars = Sidecars.from_data(job.data)
    if sidecars is None:
        return None
    if sidecars.fault:
        return Outcome.dead(sidecars.fault)  # a dead letter that was put back as it is
    if sidecars.come_late_for(rule.name) and not rule.steps[job.step].takes_sidecars:
        return Outcome.done("was done for the file; this is about its sidecar")
    return None
