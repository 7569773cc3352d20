"""Run: one stage, by the kind of its step."""

from cgi_worker.steps import deliver, encode, parse, read, reduce, tone
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.recipe import Deliver, Encode, Parse, Read, Reduce, Stage, Tone


def do(stage: Stage, work: Work) -> Made:
    """Carry out one stage with what it is lent.

    Raises  StepFailed when it cannot be done; its outputs are then worthless.
    """
    match stage.step:
        case Parse() as step:
            return parse.do(step, work)
        case Read() as step:
            return read.do(step, work)
        case Reduce() as step:
            return reduce.do(step, work)
        case Tone() as step:
            return tone.do(step, work)
        case Encode() as step:
            return encode.do(step, work)
        case Deliver() as step:
            return deliver.do(step, work)
