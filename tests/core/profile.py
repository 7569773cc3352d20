"""How long the random histories are: the one place that says so, and the count of what was really run."""

import os
from collections import Counter
from typing import Final

from hypothesis import HealthCheck, Phase, settings

LONG: Final = os.environ.get("IMGD_TEST_LONG", "") not in ("", "0")
STEPS_LONG_MIN: Final = 200_000  # Of all state machines of the core together, counted while they run.
STEPS: Final[Counter[str]] = Counter()
"""Steps run so far, by state machine."""

_EXAMPLES_SHORT: Final = 60
_STEPS_SHORT: Final = 50
_STEPS_LONG: Final = 100


def histories(examples_long: int, examples_short: int = _EXAMPLES_SHORT) -> settings:
    """Say how many histories a state machine runs; each has 50 steps in the short profile, 100 in the long one."""
    return settings(
        max_examples=examples_long if LONG else examples_short,
        stateful_step_count=_STEPS_LONG if LONG else _STEPS_SHORT,
        deadline=None,
        derandomize=not LONG,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[p for p in Phase if p is not Phase.shrink] if os.environ.get("NOSHRINK") else list(Phase),
        suppress_health_check=list(HealthCheck),
    )
