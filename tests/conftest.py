"""Hypothesis profiles, and the tests that run in the long profile only."""

import os

import pytest
from hypothesis import HealthCheck, settings

LONG = os.environ.get("TEST_LONG", "") not in ("", "0")

# `derandomize`: a red short run is the change's fault, never the day's. No deadlines: the machine may be shared.
settings.register_profile(
    "short",
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# 3,000 histories of up to 100 steps each, for each state machine: at least 200,000 steps.
settings.register_profile(
    "long",
    max_examples=3000,
    stateful_step_count=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("long" if LONG else "short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `long` in the short profile."""
    if not LONG:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="in the long profile only: ./scripts/test --long"))
