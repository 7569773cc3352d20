"""Small FITS files for tests, made byte by byte: what they hold does not depend on the code under test."""
