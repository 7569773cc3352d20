"""Stand-in steps for tests of the engine: a frame says itself what befalls the worker that works on it.

A frame is one line of JSON (`Frame`) and its pixels. Each step computes bytes that depend on what it was given and on
its parameters, and on nothing else; `picture_of` computes the same alone, without any worker.

`acts` names what happens in a step ("reduce"), or halfway through its output ("encode/half"); see `_act`. What was done
is appended to the log that IMGD_RIG_LOG names, one line a step.
"""

import hashlib
import importlib
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.process import serve_with
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.facts import Facts, Hdu, Source, encode_facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.glance import glance_recipe
from cgi_worker.wire.packets import FailureCode
from cgi_worker.wire.recipe import picture_recipe
from cgi_worker.wire.steps import Deliver, Encode, Halve, Measure, Parse, Recipe, Reduce, Stage, Tile, Tiles, Tone
from cgi_worker.wire.tile_lists import tile_list_recipe
from cgi_worker.wire.tiles import TilePlace, tile_at
from cgi_worker.wire.view import View

SERVE: Final = "tests.rig.engine_steps:serve"
WARM: Final = "tests.rig.engine_steps:warm"
SERVE_BADLY: Final = "tests.rig.engine_steps:serve_badly"
WARM_FOR_EVER: Final = "tests.rig.engine_steps:warm_for_ever"
WARM_NEVER: Final = "tests.rig.engine_steps:warm_never"
LOG: Final = "IMGD_RIG_LOG"
_POLL_S: Final = 0.002
_log_fds: Final[list[int]] = []


class Frame(msgspec.Struct, frozen=True):
    """First line of a frame.

    claims_px  height and width that its header claims; None: as they are.
    acts       what happens, by step: words as `_act` has them.
    encoded    bytes of an encoded picture; 0: a third of the samples.
    """

    height_px: int = 64
    width_px: int = 64
    claims_px: tuple[int, int] | None = None
    acts: dict[str, str] = {}
    encoded_bytes: int = 0


def frame_bytes(frame: Frame, seed: int = 0) -> bytes:
    """Write a frame."""
    pixels = np.random.default_rng(seed).integers(0, 256, frame.height_px * frame.width_px, np.uint8)
    return msgspec.json.encode(frame) + b"\n" + pixels.tobytes()


def warm(report: Callable[[int, int, str], None]) -> None:
    """Open the log, which a worker could not."""
    if name := os.environ.get(LOG, ""):
        _log_fds.append(os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644))
    report(0, 1, "stand-ins")


def warm_never(report: Callable[[int, int, str], None]) -> None:
    """Be broken."""
    report(1, 3, "what cannot be")
    sys.exit(3)


def warm_for_ever(report: Callable[[int, int, str], None]) -> None:
    """Hang."""
    report(1, 3, "what takes for ever")
    signal.pause()


def serve(descriptor: int) -> None:
    """Live as a worker with these steps."""
    serve_with(descriptor, do)


def serve_badly(descriptor: int) -> None:
    """Live as the bad worker that is named in a file beside the log; as a good one when there is no such file."""
    try:
        with open(os.environ[LOG] + ".bad") as file:
            name = file.read()
    except FileNotFoundError:
        serve(descriptor)
    else:
        getattr(importlib.import_module("tests.rig.bad"), name)(descriptor)


def do(stage: Stage, work: Work) -> Made:
    """Do one step."""
    name = type(stage.step).__name__.lower()
    note(name)
    match stage.step:
        case Parse():
            return _parse(work)
        case Reduce() as step:
            return _reduce(step, work)
        case Tone() as step:
            return _tone(step, work)
        case Encode() as step:
            return _encode(step, work)
        case Deliver() as step:
            return _deliver(step, work)
        case Halve():
            return _halve(work)
        case Tiles() as step:
            return _tiles(step, work)
        case Measure() as step:
            return _measure(step, work)
    raise TypeError(f"no stand-in for {stage.step}")


def note(line: str) -> None:
    """Append a line to the log."""
    for log_fd in _log_fds:
        os.write(log_fd, f"{line} {os.getpid()}\n".encode())


def _parse(work: Work) -> Made:
    frame, offset = _read(work)
    _act(frame.acts, "parse", work)
    height, width = frame.claims_px or (frame.height_px, frame.width_px)
    hdu = Hdu(0, "", "image", (height, width), "u1", offset, height * width, height)
    documents = [encode_facts(Facts("stand-in", (hdu,), 0)), msgspec.json.encode({"cards": frame.acts})]
    if "unreadable facts" in frame.acts.get("parse", ""):
        documents[0] = b"[" * 100_000
    for index, document in enumerate(documents):
        if work.wants(index):
            work.output_bytes(index)[: len(document)] = document
    return Made(tuple(len(document) if work.wants(index) else 0 for index, document in enumerate(documents)))


def _reduce(step: Reduce, work: Work) -> Made:
    frame, offset = _read(work)
    _act(frame.acts, "reduce", work)
    pixels = os.pread(work.source_fd, step.hdu.data_bytes, offset)
    if "mapped" in frame.acts.get("reduce", ""):
        with mmap.mmap(work.source_fd, 0, prot=mmap.PROT_READ) as mapped:
            _act(frame.acts, "reduce/mapped", work)
            pixels = mapped[offset : offset + step.hdu.data_bytes]
    if work.wants(0):
        work.output_array(0)[:] = _noise(pixels, step, "f4", work.output_array(0).shape)
    if work.wants(1):
        place = msgspec.structs.replace(step, factor=1)
        work.output_array(1)[:] = _noise(pixels, place, "u8", work.output_array(1).shape)
    used = tuple(work.output_array(at).nbytes if work.wants(at) else 0 for at in range(2))
    return Made(used, msgspec.json.encode(frame).decode())


def _tone(step: Tone, work: Work) -> Made:
    frame = _told(work)
    _act(frame.acts, "tone", work)
    given = work.input_array(0).tobytes() + work.input_array(1).tobytes()
    work.output_array(0)[:] = _noise(given, step, "u1", work.output_array(0).shape)
    return Made((work.output_array(0).nbytes,), work.input_facts(0))


def _encode(step: Encode, work: Work) -> Made:
    frame = _told(work)
    _act(frame.acts, "encode", work)
    given = work.input_array(0).tobytes()
    size = frame.encoded_bytes or max(8, len(given) // 3)
    made = _noise(given, step, "u1", (size,)).tobytes()
    room = work.output_bytes(0)
    half = size // 2
    room[:half] = made[:half]
    work.progress(half)
    _act(frame.acts, "encode/half", work)
    room[half:size] = made[half:]
    return Made((size,), work.input_facts(0))


def _halve(work: Work) -> Made:
    _act(_told(work).acts, "halve", work)
    work.output_array(0)[:] = _noise(work.input_array(0).tobytes(), Halve(), "f4", work.output_array(0).shape)
    return Made((work.output_array(0).nbytes,), work.input_facts(0))


def _tiles(step: Tiles, work: Work) -> Made:
    """Make a list of tiles; acts are "tiles", and "tiles/3" before item 3, counted from 0, is looked at."""
    if work.source_fd >= 0:
        frame, offset = _read(work)
        pixels = os.pread(work.source_fd, frame.height_px * frame.width_px, offset)
    else:
        frame, pixels = _told(work), work.input_array(0).tobytes()
    _act(frame.acts, "tiles", work)
    room = work.output_bytes(0)
    facts = msgspec.json.encode(frame)
    parts, used = [facts], 0
    items = [(part, place) for part in step.parts for place in part.places]
    for number in range(len(items) + 1):
        if number:
            _act(frame.acts, f"tiles/{number - 1}", work)
            part, (column, row) = items[number - 1]
            wanted = not work.unwanted(number - 1)
            if wanted:
                note(f"tile:{part.level}/{column}/{row}")
            parts = [_tile(pixels, tile_at(part.whole, part.level, (column, row)))] if wanted else [b""]
        room[used : used + len(parts[0])] = parts[0]
        used += len(parts[0])
        work.progress(used)
    return Made((used,), facts.decode())


def _tile(pixels: bytes, step: Tile) -> bytes:
    return _noise(pixels[:1000], step, "u1", (100 + step.window.width_px,)).tobytes()


def _measure(step: Measure, work: Work) -> Made:
    _act(_read(work)[0].acts if work.source_fd >= 0 else {}, "measure", work)
    answer = msgspec.json.encode({"asked": type(step.question).__name__})
    work.output_bytes(0)[: len(answer)] = answer
    return Made((len(answer),))


def _deliver(step: Deliver, work: Work) -> Made:
    frame = _told(work)
    _act(frame.acts, "deliver", work)
    head = step.head.replace("{bytes}", str(len(work.input_bytes(0)))).replace("{levels}", "")
    octets = head.encode() + bytes(work.input_bytes(0))
    half = len(octets) // 2
    _write(work.sink_fd(), octets[:half])
    _act(frame.acts, "deliver/half", work)
    _write(work.sink_fd(), octets[half:])
    return Made(())


def _write(sink_fd: int, octets: bytes) -> None:
    try:
        while octets:
            octets = octets[os.write(sink_fd, octets) :]
    except BrokenPipeError:
        raise StepFailed("sink_gone", "nobody reads the answer any more") from None


def _read(work: Work) -> tuple[Frame, int]:
    line, newline, _ = os.pread(work.source_fd, 1 << 20, 0).partition(b"\n")
    try:
        return msgspec.json.decode(line, type=Frame), len(line) + len(newline)
    except msgspec.MsgspecError:
        raise StepFailed("bad_frame", "this is no stand-in for a frame") from None


def _told(work: Work) -> Frame:
    return msgspec.json.decode(work.input_facts(0), type=Frame)


def _act(acts: Mapping[str, str], where: str, work: Work) -> None:
    """Do what is to happen here.

    gate PATH     note "at WHERE", and wait until the path exists.
    fail CODE     fail with this code.   signal NAME  send oneself a signal.   exit  leave without a word.
    """
    for act in filter(None, acts.get(where, "").split(";")):
        verb, _, what = act.strip().partition(" ")
        match verb:
            case "gate":
                note(f"at:{where}")
                while not os.path.exists(what):
                    time.sleep(_POLL_S)
            case "fail":
                raise StepFailed(cast(FailureCode, what), f"{where} was told to fail")
            case "signal":
                note(f"at:{where}")
                os.kill(os.getpid(), signal.Signals[what])
            case "exit":
                os._exit(9)


def _noise(given: bytes, step: object, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    digest = hashlib.sha256(given + msgspec.json.encode(step)).digest()
    size = int(np.prod(shape)) * int(dtype[1])
    return np.frombuffer(np.random.default_rng(list(digest)).bytes(size), dtype).reshape(shape)


@dataclass
class _Alone:
    """One stage's surroundings without worker or segments."""

    inputs: list[tuple[NDArray[Any], str]]
    outputs: list[NDArray[Any]]
    source_fd: int
    threads: int = 1
    announced: list[int] = field(default_factory=list)
    kept: dict[Any, Any] = field(default_factory=dict)

    @property
    def input_count(self) -> int:
        return len(self.inputs)

    def input_array(self, index: int) -> NDArray[Any]:
        return self.inputs[index][0]

    def input_bytes(self, index: int) -> memoryview:
        return self.inputs[index][0].data

    def input_facts(self, index: int) -> str:
        return self.inputs[index][1]

    def input_key(self, index: int) -> str:
        return f"{index} {self.inputs[index][1]}"

    def wants(self, index: int) -> bool:
        return index < len(self.outputs)

    def output_array(self, index: int) -> NDArray[Any]:
        return self.outputs[index]

    def output_bytes(self, index: int) -> memoryview:
        return self.outputs[index].data

    def progress(self, used_bytes: int, ends: tuple[int, ...] = ()) -> None:
        self.announced += ends or (used_bytes,)

    def unwanted(self, item: int) -> bool:
        raise AssertionError("no lists are made here")

    def sink_fd(self) -> int:
        raise AssertionError("nothing is delivered here")


def picture_of(given: bytes, view: View) -> bytes:
    """Compute a picture alone: from a frame's bytes to the encoded ones. Acts are left out."""
    return _made_by(picture_recipe(view, facts_of(given), Source(0, 0, 0, 0)), given)


def glance_of(given: bytes, view: View, fit: tuple[int, int]) -> bytes:
    """Compute a glance alone."""
    recipe = glance_recipe(view, fit, facts_of(given), Source(0, 0, 0, 0))
    assert recipe is not None
    return _made_by(recipe, given)


def facts_of(given: bytes) -> Facts:
    """Tell what a frame holds, from its bytes."""
    frame = msgspec.json.decode(given.partition(b"\n")[0], type=Frame)
    offset, shape = given.index(b"\n") + 1, (frame.height_px, frame.width_px)
    return Facts("stand-in", (Hdu(0, "", "image", shape, "u1", offset, shape[0] * shape[1], shape[0]),), 0)


def _made_by(recipe: Recipe, given: bytes) -> bytes:
    frame = msgspec.json.decode(given.partition(b"\n")[0], type=Frame)
    quiet = msgspec.json.encode(msgspec.structs.replace(frame, acts={})).decode()
    pixels = given[given.index(b"\n") + 1 :]
    made: dict[int, NDArray[Any]] = {}
    used = 0
    for stage in recipe.stages:
        for at in stage.outputs:
            buffer = recipe.buffers[at]
            made[at] = np.zeros(buffer.shape or buffer.size_bytes, buffer.dtype or "u1")
        work = _Alone([(made[at], quiet) for at in stage.inputs], [made[at] for at in stage.outputs], -1)
        match stage.step:
            case Reduce() as step:
                work.outputs[0][:] = _noise(pixels, step, "f4", work.outputs[0].shape)
                place = msgspec.structs.replace(step, factor=1)
                work.outputs[1][:] = _noise(pixels, place, "u8", work.outputs[1].shape)
            case Tone() as step:
                _tone(step, work)
            case Encode() as step:
                used = _encode(step, work).used_bytes[0]
    return made[recipe.result].tobytes()[:used]


def tile_of(given: bytes, view: View, place: TilePlace) -> bytes:
    """Compute a tile alone, of those that are cut out of the file itself."""
    recipe = tile_list_recipe(view, (place,), facts_of(given), Source(0, 0, 0, 0))
    step = recipe.stages[-1].step
    assert isinstance(step, Tiles) and step.parts[0].whole.source == "file"
    return _tile(given[given.index(b"\n") + 1 :], tile_at(step.parts[0].whole, place.level, (place.column, place.row)))
