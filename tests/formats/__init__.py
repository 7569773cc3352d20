"""Formats against astropy and against hostile bytes."""
