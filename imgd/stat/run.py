"""`imgd stat`: show a daemon's figures, once or live, or have it end what it is told to."""

import contextlib
import json
import os
import sys
import time
from typing import Final

from imgd.reaching import NotReached, url_of
from imgd.stat.asking import Wish, answer_to
from imgd.stat.samples import Samples
from imgd.stat.screen import screen_of
from imgd.stat.terminal import Ended, Terminal, open_terminal
from imgd.stat.words import fitted, plain

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EACH_S: Final = 1.0
BETWEEN_S: Final = 0.3  # Of two looks where only one table is printed: rates want two.
PLAIN_COLUMNS: Final = 200  # Where nobody reads it in a terminal, names are not cut short.


def run(wish: Wish) -> int:
    """Do it; print what came of it; return the exit code."""
    try:
        if wish.shows and not wish.as_json and not wish.once and _is_live():
            _watch(wish)
        elif wish.as_json:
            print(json.dumps(answer_to(wish), indent=2), flush=True)
        elif wish.shows:
            samples = Samples(answer_to(wish))
            time.sleep(BETWEEN_S)
            columns = os.get_terminal_size().columns if sys.stdout.isatty() else PLAIN_COLUMNS
            lines = screen_of(samples.after(answer_to(wish)), url_of(wish.place), columns or PLAIN_COLUMNS)
            print("\n".join(lines), flush=True)
        else:
            print(f"ended {answer_to(wish)['ended']}", flush=True)
    except NotReached as error:
        print(f"imgd stat: {plain(str(error))}", file=sys.stderr)
        return EXIT_REFUSED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Whoever read has read enough.
    return EXIT_OK


def _is_live() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _watch(wish: Wish) -> None:
    """Show it until whoever looks has had enough.

    Raises  NotReached if it could not be asked even once; later it is waited for.
    """
    samples = Samples(answer_to(wish))
    with contextlib.suppress(Ended), open_terminal() as terminal:
        trouble = ""
        while True:
            until_s = time.monotonic() + EACH_S
            _draw(terminal, wish, samples, trouble)
            while (left_s := until_s - time.monotonic()) > 0 and terminal.wait(left_s):
                _draw(terminal, wish, samples, trouble)  # It has another size.
            try:
                samples, trouble = samples.after(answer_to(wish)), ""
            except NotReached as error:
                trouble = f"{error}; asked again each second, what is shown is old"


def _draw(terminal: Terminal, wish: Wish, samples: Samples, trouble: str) -> None:
    columns, rows = terminal.size()
    foot = fitted(plain(trouble) or "q ends", columns)
    lines = screen_of(samples, url_of(wish.place), columns, max(rows - 1, 1))
    lines += [""] * (rows - 1 - len(lines))
    terminal.draw([*lines, foot][:rows])
