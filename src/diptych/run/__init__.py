"""Runs: experiments on one model and one task, stored so that nothing is computed twice; and studies of many."""

from diptych.run.outcomes import Driver, Outcome
from diptych.run.run import Finding, Run
from diptych.run.store import Store
from diptych.run.study import Study
from diptych.run.study_file import read_study, write_study
from diptych.run.table import load_runs
from diptych.run.unit import Unit

__all__ = ["Driver", "Finding", "Outcome", "Run", "Store", "Study", "Unit", "load_runs", "read_study", "write_study"]
