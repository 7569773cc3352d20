"""Encode and deliver: real pictures, announced in chunks, bounded, and to whom there still is somebody."""

import io
import os
import signal
import threading
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from cgi_worker.steps import deliver, encode
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Deliver, Encode
from cgi_worker.wire.view import Format, Subsampling
from tests.steps.lending import Lending

KINDS: tuple[Format, ...] = get_args(Format)
NOISE = np.random.default_rng(1).integers(0, 256, (300, 400, 3)).astype(np.uint8)


def encoded(pixels: Any, kind: Format, room: int = 4 << 20) -> tuple[bytes, Lending]:
    work = Lending(inputs=[pixels], facts=['{"levels":[]}'], outputs=[np.zeros(room, np.uint8)])
    made = encode.do(Encode(kind, 90), work)
    assert made.facts == '{"levels":[]}'
    return bytes(work.output_bytes(0)[: made.used_bytes[0]]), work


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", [False, True])
def test_pictures(kind: Format, colour: bool) -> None:
    smooth = np.linspace(0, 255, 200 * 300).reshape(200, 300).astype(np.uint8)
    pixels = np.ascontiguousarray(np.stack([smooth, smooth[::-1], smooth[:, ::-1]], axis=2)) if colour else smooth
    octets, _ = encoded(pixels, kind)
    picture = Image.open(io.BytesIO(octets))
    assert (picture.format, picture.size) == (kind.upper(), (300, 200))
    assert picture.mode == ("RGB" if colour or kind == "webp" else "L")
    seen = np.asarray(picture.convert("RGB" if colour else "L")).astype(int)
    assert np.abs(seen - pixels).max() <= (0 if kind == "png" else 30)
    assert np.abs(seen - pixels).mean() < 3


def test_announced_as_it_grows() -> None:
    octets, work = encoded(np.tile(NOISE, (3, 2, 1)), "jpeg")
    assert len(octets) > 2 * encode.ANNOUNCED_BYTES
    assert work.announced == sorted(set(work.announced))
    steps = np.diff([0, *work.announced, len(octets)])
    assert len(work.announced) >= 1
    assert steps.max() <= 2 * encode.ANNOUNCED_BYTES
    png, work = encoded(NOISE, "png")
    assert len(work.announced) >= len(png) // (2 * encode.ANNOUNCED_BYTES)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("colour", [False, True])
def test_large_pictures_are_announced_long_before_their_end(kind: Format, colour: bool) -> None:
    large = np.random.default_rng(2).integers(100, 140, (1500, 2000, 3) if colour else (1500, 2000)).astype(np.uint8)
    octets, work = encoded(large, kind, room=16 << 20)
    assert len(work.announced) > 2
    assert work.announced[0] < len(octets) / 2


def test_chroma_subsampling() -> None:
    """Of colour as JPEG and AVIF; grey has none to lose, and the other formats do not listen."""
    asked: tuple[Subsampling, ...] = tuple(set(get_args(Subsampling)) - {"400", "bitonal"})
    for kind in KINDS:
        sizes = {}
        for subsampling in asked:
            work = Lending(inputs=[NOISE], facts=["{}"], outputs=[np.zeros(4 << 20, np.uint8)])
            sizes[subsampling] = encode.do(Encode(kind, 90, subsampling), work).used_bytes[0]
            octets = bytes(work.output_bytes(0)[: sizes[subsampling]])
            if kind == "jpeg":
                layer = {"444": (1, 1), "422": (2, 1)}.get(subsampling, (2, 2))
                assert Image.open(io.BytesIO(octets)).layer[0][1:3] == layer  # type: ignore[attr-defined]
            grey = Lending(inputs=[NOISE[..., 0].copy()], facts=["{}"], outputs=[np.zeros(4 << 20, np.uint8)])
            encode.do(Encode(kind, 90, subsampling), grey)
        assert sizes["auto"] == sizes["420"]
        assert (sizes["420"] < sizes["422"] < sizes["444"]) == (kind in ("jpeg", "avif"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", [False, True])
def test_without_colour(kind: Format, colour: bool) -> None:
    """The luma that is left is Pillow's; bitonal has no grey at all, but for what a lossy format makes of its edges."""
    smooth = np.asarray(Image.linear_gradient("L").resize((200, 160)))
    shown = np.stack([smooth, smooth[::-1], smooth[:, ::-1]], axis=2) if colour else smooth
    luma = np.asarray(Image.fromarray(np.ascontiguousarray(shown)).convert("L")).astype(int)
    for subsampling, expected in (("400", luma), ("bitonal", np.where(luma < 128, 0, 255))):
        work = Lending(inputs=[np.ascontiguousarray(shown)], facts=["{}"], outputs=[np.zeros(1 << 20, np.uint8)])
        used = encode.do(Encode(kind, 95, subsampling), work).used_bytes[0]  # type: ignore[arg-type]
        picture = Image.open(io.BytesIO(bytes(work.output_bytes(0)[:used])))
        assert kind == "webp" or picture.mode == "L"
        off = np.abs(np.asarray(picture.convert("L")).astype(int) - expected)
        assert (off.max() == 0) if kind == "png" else (np.mean(off) < 5)


@pytest.mark.parametrize("kind", KINDS)
def test_too_big_for_its_buffer(kind: Format) -> None:
    with pytest.raises(StepFailed) as caught:
        encoded(NOISE, kind, room=30_000)
    assert caught.value.code == "too_big"


def test_the_planned_room_is_enough_for_noise() -> None:
    for pixels in (NOISE, np.ascontiguousarray(NOISE[..., 0]), NOISE[:1, :1]):
        for kind in KINDS:
            work = Lending(inputs=[pixels], facts=["{}"], outputs=[np.zeros(2 * pixels.size + 65_536, np.uint8)])
            encode.do(Encode(kind, 100), work)


def delivered(sink: int, body: bytes) -> None:
    work = Lending(inputs=[np.frombuffer(body, np.uint8)], facts=["{}"], sink=sink)
    deliver.do(Deliver("Status: 200\r\n{levels}\r\n"), work)


@pytest.mark.parametrize("blocking", [True, False])
def test_delivered_whole(blocking: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    body = NOISE.tobytes()
    got: list[bytes] = []

    def read() -> None:
        with open(reader, "rb") as file:
            got.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    try:
        delivered(writer, body)
    finally:
        os.close(writer)
        thread.join()
    assert got == [b"Status: 200\r\n\r\n" + body]


def test_nobody_reads() -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(StepFailed) as caught:
            delivered(writer, b"x")
    finally:
        os.close(writer)
    assert caught.value.code == "sink_gone"
