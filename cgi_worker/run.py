"""Run: one stage, by the kind of its step."""

from typing import Final

from cgi_worker.answers import measure
from cgi_worker.kernels.hands import HANDS
from cgi_worker.placing import apart
from cgi_worker.steps import deliver, encode, halve, parse, read, reduce, sample, tile, tile_list, tone
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Deliver, Encode, Halve, Measure, Parse, Read, Reduce, Sample, Stage, Tile, Tiles, Tone

HANDS.apart = apart
NO_THREAD: Final = "can't start new thread"  # Words of Python's RuntimeError, which has no number.


def do(stage: Stage, work: Work) -> Made:
    """Carry out one stage with what it is lent.

    Raises  StepFailed when it cannot be done; its outputs are then worthless.
    """
    try:
        try:
            return _do(stage, work)
        except RuntimeError as error:
            if NO_THREAD not in str(error):
                raise
        work.threads = 1  # The system lets no further thread start: this one does it all.
        return _do(stage, work)
    except MemoryError as error:
        raise StepFailed("too_big", "this takes more memory than a worker may have") from error


def _do(stage: Stage, work: Work) -> Made:
    match stage.step:
        case Parse() as step:
            return parse.do(step, work)
        case Read() as step:
            return read.do(step, work)
        case Reduce() as step:
            return reduce.do(step, work)
        case Sample() as step:
            return sample.do(step, work)
        case Halve() as step:
            return halve.do(step, work)
        case Tone() as step:
            return tone.do(step, work)
        case Encode() as step:
            return encode.do(step, work)
        case Tile() as step:
            return tile.do(step, work)
        case Tiles() as step:
            return tile_list.do(step, work)
        case Measure() as step:
            return measure.do(step, work)
        case Deliver() as step:
            return deliver.do(step, work)
