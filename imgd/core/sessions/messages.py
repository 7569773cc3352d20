"""What a client may say of runners: one JSON text each, decoded once. `docs/live.md` tells what they mean."""

from typing import Any, Final, Literal

import msgspec

VIEW_PARTS_MAX: Final = 64
RESULTS: Final = ("facts", "levels", "histogram", "picture")

Result = Literal["facts", "levels", "histogram", "picture"]
ViewText = dict[str, str | int | float] | str
"""Parameters of `/img`: an object of texts and numbers, or a query string (for names that are not UTF-8)."""


class _Message(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    id: int


class Hello(_Message, frozen=True, tag="hello"):
    """Who is there? resume: the secret that an earlier `hello` of a session gave that has ended uncleanly."""

    resume: str = ""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part of a picture, shown in tiles: one of `box` and `fit`.

    level  of the pyramid: one pixel of it is 2**level source pixels.
    box    x, y, width, height in pixels of that level, of the picture as it is seen (flipped, turned).
    fit    width and height in pixels of the screen, for all of the picture, whose size need not be known: at the level
           that is nearest to the size at which it fits in there.
    dpr    device pixels of the screen for one of the page; only told to those who are attached.
    glance with `fit`: while nothing of it is seen, and the tiles take long, a coarse picture of all may come first.
    """

    level: int = 0
    box: tuple[float, float, float, float] | None = None
    fit: tuple[int, int] | None = None
    dpr: float = 1.0
    glance: bool = False


class Open(_Message, frozen=True, tag="open"):
    """Open a runner.

    view      what it shows; with `follow` without a frame.
    follow    a directory (`root/path`, percent-encoded as `ref` is): its newest frame is shown, and each newer one.
    results   what a run answers with, besides its steps; tiles take the picture's place once there is a viewport.
    paused    it runs when told to.
    viewport  it runs at once, unless it is paused, as if `viewport` came next.
    """

    view: ViewText = ""
    follow: str | None = None
    results: tuple[Result, ...] = ("facts", "levels", "picture")
    paused: bool = False
    viewport: Part | None = None


class Set(_Message, frozen=True, tag="set"):
    """Change some parameters of a runner's view; null takes one away. What is shown already is run again.

    viewport  changes with them, in the same run.
    """

    runner: str
    changes: dict[str, str | int | float | None]
    viewport: Part | None = None


class Viewport(_Message, frozen=True, tag="viewport"):
    """Show a part, in tiles; its fields are those of a Part.

    again  True: the client has thrown its tiles away; they are all sent anew.
    """

    runner: str
    level: int = 0
    box: tuple[float, float, float, float] | None = None
    dpr: float = 1.0
    again: bool = False
    fit: tuple[int, int] | None = None
    glance: bool = False

    @property
    def part(self) -> Part:
        """What of it stays until the next one."""
        return Part(self.level, self.box, self.fit, self.dpr, self.glance)


class Run(_Message, frozen=True, tag="run"):
    """Run a runner's plan now, whether it plays or not."""

    runner: str


class Play(_Message, frozen=True, tag="play"):
    """Go on: jump to what is pending, and run whatever comes."""

    runner: str


class Pause(_Message, frozen=True, tag="pause"):
    """Let the running one finish; of what comes after it only the newest is kept, until `play` or `step`."""

    runner: str


class Step(_Message, frozen=True, tag="step"):
    """Run the pending one, and stay paused."""

    runner: str


class Close(_Message, frozen=True, tag="close"):
    """Let go of a runner; it ends when no session holds it."""

    runner: str


class Attach(_Message, frozen=True, tag="attach"):
    """Hold a runner of another session of the same owner as well: both are told, either may drive."""

    runner: str


class Log(_Message, frozen=True, tag="log"):
    """What happened in this runner, after the entry numbered `since`."""

    runner: str
    since: int = 0


RunnerMessage = Hello | Open | Set | Viewport | Run | Play | Pause | Step | Close | Attach | Log


class Picture(msgspec.Struct, frozen=True):
    """Encoded bytes on their way to clients.

    etag   strong validator: equal for equal bytes of the same view and source.
    level  -1 for a picture; a tile's level, with its column and row.
    glance True: a coarse picture that is shown until the tiles of its turn are there; it has no etag.
    """

    body: bytes
    etag: str
    format: Literal["jpeg", "png", "webp", "avif"]
    width_px: int
    height_px: int
    level: int = -1
    column: int = 0
    row: int = 0
    glance: bool = False


class Figures(msgspec.Struct, frozen=True):
    """JSON that a run has found out. document: a JSON value as text."""

    what: Literal["facts", "levels", "histogram"]
    document: Any
