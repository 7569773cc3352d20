"""Frames that are nothing, asked in ways that are themselves faulty: the crew is to find each of them out."""

import os
import signal
import time
from random import Random
from typing import Final

from tests.fuzz.asking import Say

FAULTS: Final = {
    1: "died: SIGSEGV", 3: "died: exit code 3", 5: "overran its deadline", 6: "overran its deadline",
    8: "KeyError: 'not there' at bad.py", 9: "MemoryError",
}  # fmt: skip


def make_frame(seed: int, number: int) -> tuple[bytes, str, Random]:
    """Make one that says which it is."""
    return bytes([number]), f"frame {number}", Random(seed)


def ask(frame: bytes, random: Random, say: Say) -> tuple[int, int]:
    """Do what FAULTS says will be found."""
    say("header")
    say(f"question {frame[0]}")
    match frame[0]:
        case 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 3:
            os._exit(3)
        case 5:
            while True:
                pass
        case 6:
            time.sleep(3600)
        case 8:
            raise KeyError("not there")
        case 9:
            bytearray(1 << 31)
    return 2, 1
