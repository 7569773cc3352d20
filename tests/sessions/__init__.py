"""The sessions' state machine, without a socket: messages in, messages and commands out."""
