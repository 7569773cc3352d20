"""How long the random histories are: the one place that says so, and the count of what was really run."""

import os
from collections import Counter
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

LONG: Final = os.environ.get("TEST_LONG", "") not in ("", "0")
STEPS: Final[Counter[str]] = Counter()
"""Steps run so far, by state machine; each machine counts its own."""

_EXAMPLES_SHORT: Final = 60
_EXAMPLES_ROUND: Final = 400
_STEPS_SHORT: Final = 50
_STEPS_LONG: Final = 100


def histories(examples_long: int, examples_short: int = _EXAMPLES_SHORT) -> settings:
    """Say how many examples are run; the history of a state machine has 50 steps, in the long profile 100."""
    return settings(
        max_examples=examples_long if LONG else examples_short,
        stateful_step_count=_STEPS_LONG if LONG else _STEPS_SHORT,
        deadline=None,
        derandomize=not LONG,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def run_counted(machine: type[RuleBasedStateMachine], name: str, steps_long: int) -> None:
    """Run a state machine once, in the long profile again and again until it has done so many steps."""
    STEPS[name] = 0
    while True:
        before = STEPS[name]
        run_state_machine_as_test(machine, settings=histories(_EXAMPLES_ROUND))
        assert STEPS[name] - before >= _EXAMPLES_SHORT * _STEPS_SHORT // 2, "histories are shorter than they look"
        if not LONG or STEPS[name] >= steps_long:
            return
