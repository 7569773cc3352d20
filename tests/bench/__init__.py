"""Tests of how figures are taken and told."""
