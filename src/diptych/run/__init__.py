"""Runs: experiments on one model and one task, stored so that nothing is computed twice."""

from diptych.run.run import Finding, Run
from diptych.run.store import Store
from diptych.run.unit import Unit

__all__ = ["Finding", "Run", "Store", "Unit"]
