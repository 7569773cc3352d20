"""The event log: what happened, in one order for everybody, kept until it is old. It decides nothing about pictures."""
