"""Stand-in steps, so that a worker's life can be tested without any real one. `--serve tests.rig.steps:serve`.

Parse copies the source into output 0. Encode copies input 0 to output 0, and its quality names what else happens.
Deliver writes head and input 0 to the sink. Tiles makes a byte a tile, its number, and stops (SIGSTOP) after one.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Final

from cgi_worker.process import serve_with
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Deliver, Encode, Parse, Stage, Tiles

WELL: Final = 1
FAIL: Final = 2
HANG: Final = 3
EXIT: Final = 4
KEEP_VIEW: Final = 5
BUG: Final = 6
STOP: Final = 7
FAIL_IN_CYCLE: Final = 8
CRASH: Final = 9
HUNGRY: Final = 10
WRITE_INPUT: Final = 11

_kept: list[object] = []


def warm(report: Callable[[int, int, str], None]) -> None:
    """Pretend to warm."""
    report(0, 1, "nothing")


def warm_compiling(report: Callable[[int, int, str], None]) -> None:
    """Pretend to compile, as far as numba's statistics tell."""
    report(0, 1, "compiling")
    module = ModuleType("cgi_worker.kernels.pretended")
    vars(module)["kernel"] = SimpleNamespace(stats=SimpleNamespace(cache_misses={"signature": 1}))
    sys.modules[module.__name__] = module


def serve(descriptor: int) -> None:
    """Live as a worker with these steps."""
    serve_with(descriptor, do)


def do(stage: Stage, work: Work) -> Made:
    """Do one step."""
    match stage.step:
        case Parse():
            return _copy_source(work)
        case Encode(quality=quality):
            return _copy(work, quality)
        case Deliver(head):
            os.write(work.sink_fd(), head.encode() + work.input_bytes(0))
            return Made(())
        case Tiles(count=count):
            return _count(work, count)
    raise TypeError(f"no stand-in for {stage.step}")


def _copy_source(work: Work) -> Made:
    octets = os.pread(work.source_fd, len(work.output_bytes(0)), 0)
    work.output_bytes(0)[: len(octets)] = octets
    return Made((len(octets),), f'{{"read":{len(octets)}}}')


def _count(work: Work, count: int) -> Made:
    used = 0
    for number in range(count):
        if not work.unwanted(number):
            work.output_bytes(0)[used] = number
            used += 1
        work.progress(used)
        if number == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
    return Made((used,))


def _copy(work: Work, quality: int) -> Made:
    given, room = work.input_bytes(0), work.output_bytes(0)
    half = len(given) // 2
    room[:half] = given[:half]
    work.progress(half)
    match quality:
        case 2:
            raise StepFailed("bad_frame", "the half of it is missing")
        case 3:
            time.sleep(3600)
        case 4:
            os._exit(9)
        case 5:
            _kept.append(given[:1])
        case 6:
            raise ValueError("a bug")
        case 7:
            os.kill(os.getpid(), signal.SIGSTOP)
        case 8:
            cycle: list[object] = [given[:1]]
            cycle.append(cycle)
            raise StepFailed("too_big", "left in a cycle")
        case 9:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 10:
            _kept.append(bytearray(1 << 30))
        case 11:
            given[:1] = b"!"
    room[half : len(given)] = given[half:]
    return Made((len(given),), work.input_facts(0))
