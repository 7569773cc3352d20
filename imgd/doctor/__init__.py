"""`imgd doctor`: decides what of this machine, and of these settings, will be trouble, and says what to change.

It changes nothing itself. What is looked at is gathered first, as records; the verdicts are functions of those.
"""
