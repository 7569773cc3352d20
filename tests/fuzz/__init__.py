"""Hostile bytes: mutated frames asked for everything that can be asked, in confined children with a deadline."""
