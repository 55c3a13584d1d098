"""Crash at every step: each await of an operation is a place where the process may die, and every one is tried.

`walk` runs one scenario: for N = 1, 2, 3 … a process forked for it does the operation and kills itself at its N-th
crash point, then another does the operation again, undisturbed, and everything is checked. `python -m faults.steps
--all` walks all scenarios and prints a table. `tests/faults/test_steps.py` walks a sample.
"""

from faults.steps.report import StepReport, Violation
from faults.steps.scenario import SCENARIOS
from faults.steps.walking import walk

__all__ = ["SCENARIOS", "StepReport", "Violation", "walk"]
