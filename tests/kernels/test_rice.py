"""RICE_1 against a decoder and an encoder with plain loops over text of bits; dithering and joining likewise."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.kernels import dither
from cgi_worker.kernels.join import KINDS, Piece, Units, join
from cgi_worker.kernels.rice import JOB, PLACE, ROWS, SKIP, START, STOP, WIDTH, decode

SPLIT_BITS = {1: 3, 2: 4, 4: 5}  # By octets of a pixel: bits that say how a block is split.
DIRECT = {1: 7, 2: 15, 4: 26}  # What they say where it is not coded at all.


def bits_of(value: int, width: int) -> str:
    return format(value, f"0{width}b") if width else ""


def encode_slowly(pixels: list[int], size: int, block_px: int, splits: list[int]) -> bytes:
    """Encode unsigned pixels; each block by the next of `splits` (0: all the same, as far as they are)."""
    whole = 1 << 8 * size
    bits, last = bits_of(pixels[0], 8 * size), pixels[0]
    for number, first in enumerate(range(0, len(pixels), block_px)):
        mapped = []
        for pixel in pixels[first : first + block_px]:
            step = (pixel - last + whole // 2) % whole - whole // 2
            mapped.append(2 * step if step >= 0 else -2 * step - 1)
            last = pixel
        split = splits[number % len(splits)]
        if split == 0 and any(mapped):
            split = DIRECT[size]
        bits += bits_of(split, SPLIT_BITS[size])
        for value in mapped if split else []:
            if split == DIRECT[size]:
                bits += bits_of(value, 8 * size)
            else:
                high, low = divmod(value, 1 << (split - 1))
                bits += "0" * high + "1" + bits_of(low, split - 1)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def decode_slowly(octets: bytes, size: int, block_px: int, count: int) -> list[int] | None:
    """Decode the first pixels; None where the octets end before, or break the code."""
    bits, at, whole = "".join(bits_of(octet, 8) for octet in octets), 0, 1 << 8 * size
    pixels: list[int] = []

    def take(width: int) -> int:
        nonlocal at
        at += width
        if at > len(bits):
            raise EOFError
        return int(bits[at - width : at] or "0", 2)

    try:
        last = take(8 * size)
        while len(pixels) < count:
            split = take(SPLIT_BITS[size])
            if split > DIRECT[size]:
                return None
            for _ in range(min(block_px, count - len(pixels))):
                value = 0
                if split == DIRECT[size]:
                    value = take(8 * size)
                elif split:
                    high = 0
                    while take(1) == 0:
                        high += 1
                    value = (high << split - 1) + take(split - 1)
                last = (last + (value >> 1 if value % 2 == 0 else -(value >> 1) - 1)) % whole
                pixels.append(last)
    except EOFError:
        return None
    return pixels


def decoded(octets: bytes, size: int, block_px: int, count: int, *, around: bytes = b"\xa5" * 11) -> Any:
    """Decode one tile of one row that lies among other octets."""
    file = np.frombuffer(around + octets + around, np.uint8)
    out = np.full(count + 2, 77, f"u{size}")
    jobs = np.zeros((1, JOB), np.int64)
    jobs[0, [START, STOP]] = len(around), len(around) + len(octets)
    jobs[0, [SKIP, ROWS, WIDTH, PLACE]] = 0, 1, count, 1
    status = decode(file, jobs, out, block_px=block_px, pitch=count)
    assert out[0] == 77 and out[-1] == 77, "written beside its place"
    assert status in (-1, 0)
    return out[1:-1].tolist() if status == -1 else None


@st.composite
def tiles(draw: st.DrawFn) -> tuple[list[int], int]:
    """Pixels near one another, or anywhere, with extremes."""
    size = draw(st.sampled_from([1, 2, 4]))
    top = (1 << 8 * size) - 1
    center = draw(st.integers(0, top))
    near = st.integers(max(0, center - 40), min(top, center + 40))
    pixel = draw(st.sampled_from([near, st.integers(0, top) | near, st.sampled_from([0, top, center])]))
    return draw(st.lists(pixel, min_size=1, max_size=100)), size


@given(tile=tiles(), block_px=st.integers(1, 40), data=st.data())
def test_rice_gives_back_what_was_encoded(tile: tuple[list[int], int], block_px: int, data: st.DataObject) -> None:
    pixels, size = tile
    reach = max(abs(a - b) for a, b in zip(pixels, pixels[1:] + pixels[-1:], strict=True))
    least = max(1, reach.bit_length() - 4)  # Shorter splits would write runs of thousands of zeros.
    splits = data.draw(st.lists(st.sampled_from([0, *range(least, DIRECT[size] + 1), DIRECT[size]]), min_size=1))
    octets = encode_slowly(pixels, size, block_px, splits)
    assert decode_slowly(octets, size, block_px, len(pixels)) == pixels
    assert decoded(octets, size, block_px, len(pixels)) == pixels
    assert decoded(octets, size, block_px, len(pixels), around=b"") == pixels
    assert decoded(octets[: data.draw(st.integers(0, len(octets) - 1))], size, block_px, len(pixels)) is None


def test_rice_long_runs_of_zeros() -> None:
    pixels = [0, 65_000, 3, 3, 40_000, 0]
    octets = encode_slowly(pixels, 2, 4, [1])
    assert len(octets) > 10_000
    assert decoded(octets, 2, 4, 6) == pixels
    assert decoded(bytes(100_000), 4, 32, 50) == [0] * 50  # Blocks that say "all the same".
    assert decoded(b"\0\0\0\0\x08" + bytes(100_000), 4, 32, 50) is None  # A run without an end.


@given(st.sampled_from([1, 2, 4]), st.binary(max_size=60), st.integers(1, 40), st.integers(1, 70))
def test_rice_of_any_octets(size: int, octets: bytes, block_px: int, count: int) -> None:
    assert decoded(octets, size, block_px, count) == decode_slowly(octets, size, block_px, count)


@given(st.data())
def test_rice_tiles_find_their_place(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 9))
    skip, pitch = data.draw(st.integers(0, height - 1)), width + data.draw(st.integers(0, 3))
    rows = data.draw(st.integers(1, height - skip))
    tile = np.arange(height * width, dtype=np.uint16).reshape(height, width) * 3 + 5
    octets = np.frombuffer(encode_slowly(tile.ravel().tolist(), 2, 32, [3]), np.uint8)
    expected = np.zeros((rows + 1, pitch), np.uint16)
    column = pitch - width
    expected[1:, column:] = tile[skip : skip + rows]
    out = np.zeros_like(expected)
    job = np.array([[0, octets.size, skip, rows, width, pitch + column]], np.int64)
    assert decode(octets, job, out.reshape(-1), block_px=32, pitch=pitch) == -1
    assert np.array_equal(out, expected)


@pytest.mark.parametrize(
    ("column", "value"),
    [(START, -1), (START, 99), (STOP, 10**9), (STOP, -5), (SKIP, -1), (ROWS, 0), (ROWS, 9), (WIDTH, 0), (WIDTH, 9),
     (PLACE, -1), (PLACE, 12)],
)  # fmt: skip
def test_rice_of_impossible_jobs(column: int, value: int) -> None:
    octets = np.frombuffer(encode_slowly([5] * 12, 2, 32, [1]), np.uint8)
    job = np.array([[0, octets.size, 0, 3, 4, 0]], np.int64)
    assert decode(octets, job, np.zeros(12, np.uint16), block_px=32, pitch=4) == -1
    assert decode(octets, job, np.zeros(12, np.uint16), block_px=0, pitch=4) == 0
    job[0, column] = value
    assert decode(octets, job, np.zeros(12, np.uint16), block_px=32, pitch=4) == 0


def test_random_numbers_are_the_standards() -> None:
    assert dither.NUMBERS.size == 10_000
    assert dither.NUMBERS[-1] == np.float32(1043618065 / 2147483647)  # The standard's own check.


def restore_slowly(stored: list[int], how: dict[str, Any], kind: str) -> NDArray[Any]:
    """Undo quantising and dithering of a whole tile, a pixel at a time."""
    seed, values = how["seed"], []
    at = int(dither.NUMBERS[seed] * np.float32(500))
    for value in stored:
        real = float(value)
        if how["method"]:
            real = real - float(dither.NUMBERS[at]) + 0.5
            at += 1
            if at == 10_000:
                seed = (seed + 1) % 10_000
                at = int(dither.NUMBERS[seed] * np.float32(500))
        real = real * how["scale"] + how["zero"]
        if how["method"] == 2 and value == -2147483646:
            real = 0.0
        values.append(np.nan if value == how["blank"] else real)
    with np.errstate(over="ignore"):
        return np.array(values).astype(kind)


@given(st.data())
def test_restoring_quantised_floats(data: st.DataObject) -> None:
    height = data.draw(st.sampled_from([1, 2, 5, 400]))
    width = data.draw(st.integers(1, 3) | st.integers(50, 60))
    skip = data.draw(st.integers(0, height - 1))
    method, kind = data.draw(st.sampled_from([0, 1, 2])), data.draw(st.sampled_from(["f4", "f8"]))
    number = st.floats(-1e30, 1e30)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    tile = random.integers(-500, 500, (height, width)).astype(np.int32)
    tile[random.random(tile.shape) < 0.2] = random.choice([-(2**31), -2147483647, -2147483646, 2**31 - 1, 7])
    blank = data.draw(st.sampled_from([dither.NO_BLANK, -(2**31), -2147483647, 7]))
    how = {
        "seed": data.draw(st.integers(0, 9_999) | st.integers(9_990, 9_999)),
        "method": method,
        "scale": data.draw(number),
        "zero": data.draw(number),
        "blank": blank,
    }
    expected = restore_slowly(tile.ravel().tolist(), how, kind).reshape(height, width)[skip:]
    ints, out = np.zeros((height - skip, width + 2), np.int32), np.full((height - skip, width + 2), 9, kind)
    ints[:, 1:-1] = tile[skip:]
    dither.unquantise(
        ints.reshape(-1),
        np.array([[0, 0, skip, height - skip, width, 1]], np.int64),
        dither.How(
            method, width + 2, dither.NUMBERS, np.array([how["seed"]]), np.array([how["scale"]]),
            np.array([how["zero"]]), np.array([blank]),
        ),
        out.reshape(-1),
    )  # fmt: skip
    assert np.array_equal(out[:, 1:-1], expected, equal_nan=True)
    assert (out[:, [0, -1]] == 9).all()


@given(st.data())
def test_joining(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    stored = kind.replace("u8", "i8")
    height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    source = random.integers(0, 256, (height, width * int(kind[1])), np.uint8)
    swap = data.draw(st.booleans())
    pixels = source.view(f"{'>' if swap else '<'}{stored}")
    blank = int(pixels[0, 0]) if kind[0] != "f" else 0
    x = data.draw(st.integers(0, width - 1))
    flip_x, flip_y, blanking = data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.booleans())
    scale, zero = (1.0, 2.0**63) if kind == "u8" else (data.draw(st.sampled_from([1.0, -0.3])), 32768.0)
    blanking &= kind[0] != "f"
    with np.errstate(all="ignore"):
        values = pixels.astype(np.float64) * scale + zero
        if kind == "u8":
            values = (pixels.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)).astype(np.float64)
        if blanking:
            values[pixels == blank] = np.nan
        out = np.full((height + 2, width - x + 3), 5, data.draw(st.sampled_from(["f4", "f8"])))
        expected = out.copy()
        expected[1:-1, 2:-1] = values[:: -1 if flip_y else 1, x:][:, :: -1 if flip_x else 1]
    piece = Piece(KINDS[kind], int(swap), x, width - x, 1, 2, int(flip_x), int(flip_y), blank, int(blanking))
    join(source, piece, Units(scale, zero), out)
    assert np.array_equal(out, expected, equal_nan=True)
    before = out.copy()
    for odd in ({"row": 3}, {"column": 4}, {"x": x + 1}, {"x": -1}, {"row": -1}, {"column": -1}, {"width": 0}):
        join(source, piece._replace(**odd), Units(scale, zero), out)
        assert np.array_equal(out, before, equal_nan=True)
