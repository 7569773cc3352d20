"""Kernels against slow twins with plain loops."""
