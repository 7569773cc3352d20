"""The measure step as a whole: whatever is asked gets an answer with room to spare, or is refused in words."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cgi_worker import run
from cgi_worker.formats.fits import walk
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.question import Pixel
from cgi_worker.wire.steps import Measure, Stage
from tests.frames.make import image_hdu, write
from tests.steps.lending import Lending, garbage


def test_an_answer_without_room_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.ones((9, 9), "u2")))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        step = Measure(Pixel(frame="", x=1, y=1, box=3), walk(descriptor).facts.hdus[0])
        work = Lending(descriptor, outputs=[garbage((4096,), "u1")])
        made = run.do(Stage(step, (), (0,)), work)
        assert msgspec.json.decode(work.output_bytes(0)[: made.used_bytes[0]])["value"] == 1
        assert made.facts == "{}"
        work.outputs = [garbage((made.used_bytes[0] - 1,), "u1")]
        with pytest.raises(StepFailed) as failed:
            run.do(Stage(step, (), (0,)), work)
    finally:
        os.close(descriptor)
    assert failed.value.code == "too_big"
