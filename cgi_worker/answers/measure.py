"""Measure: the answer to a question, by the kind of the question."""

from typing import Final

import msgspec

from cgi_worker.answers import export, histogram, pixel, profile, shape, sky, stars, stats
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.question import Export, Histogram, Pixel, Profile, Shape, Sky, Stars, Stats
from cgi_worker.wire.steps import Measure

_ENCODER: Final = msgspec.json.Encoder()


def do(step: Measure, work: Work) -> Made:
    """Write the answer (output 0): JSON, or the bytes of an export.

    Raises  StepFailed("too_big") if it has no room; whatever else the source is to blame for.
    """
    if isinstance(step.question, Export):
        return export.do(step.question, step, work)
    text = _ENCODER.encode(_answer(step, work))
    room = work.output_bytes(0)
    if len(text) > len(room):
        raise StepFailed("too_big", f"the answer takes {len(text)} bytes, more than the {len(room)} set aside")
    room[: len(text)] = text
    return Made((len(text),))


def _answer(step: Measure, work: Work) -> msgspec.Struct:
    match step.question:
        case Pixel() as question:
            return pixel.answer(question, step, work)
        case Profile() as question:
            return profile.answer(question, step, work)
        case Shape() as question:
            return shape.answer(question, step, work)
        case Stats() as question:
            return stats.answer(question, step, work)
        case Histogram() as question:
            return histogram.answer(question, step, work)
        case Stars() as question:
            return stars.answer(question, step, work)
        case Sky() as question:
            return sky.answer(question, step, work)
        case Export():
            raise AssertionError("an export is no JSON")
