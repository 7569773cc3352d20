"""Exactness on every real frame: each answer against astropy, cfitsio and float64 arithmetic."""
