"""Small bad workers, and what tests of real processes share. Started by the template's parameter --serve."""
