"""The stores that these tests run against."""

from tests.events.postgres import postgres
from tests.events.stores import place

__all__ = ["place", "postgres"]
