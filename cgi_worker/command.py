"""The command line of `imgd-cgi`: one file, one picture or its header, no daemon."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from cgi_worker.source import open_source
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import PARAMETERS, view_from_pairs

EXIT_USAGE: Final = 2
EXIT_FILE: Final = 3
EXIT_NO_FILE: Final = 4
LAUNCHER: Final = "--launcher"
LIMIT_BYTES: Final = 2 << 30  # Of all buffers together; there is one picture at a time.
_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_FLAGS: Final = tuple(name for name in PARAMETERS if name != "frame")


def run(given: Sequence[str]) -> int:
    """Do what the arguments ask; return the exit code (see `cli.main`)."""
    if list(given) == [LAUNCHER]:
        return _write("-", launcher().encode())
    arguments = _parser().parse_args(given)
    if not arguments.header and not arguments.out:
        return _fail(EXIT_USAGE, "-o is missing: where to put the picture (- is standard output)")
    pairs = [("frame", "file")]
    pairs += [(name, text) for name in _FLAGS for text in getattr(arguments, name)]
    try:
        view = view_from_pairs(pairs)
        path_fd = os.open(arguments.file, os.O_PATH | os.O_CLOEXEC)
    except ViewError as error:
        return _fail(EXIT_USAGE, f"--{error.parameter}: {error.text}")
    except OSError as error:
        return _fail(EXIT_NO_FILE, f"{arguments.file}: {os.strerror(error.errno or 0)}")
    try:
        with open_source(path_fd) as source_fd:
            from cgi_worker import alone  # noqa: PLC0415 A wrong command must not wait for numba to say so.

            if arguments.header:
                octets = alone.header(source_fd, limit_bytes=arguments.limit)
            else:
                octets, _, _ = alone.render(source_fd, view, arguments.threads, limit_bytes=arguments.limit)
    except ViewError as error:
        name = arguments.file if error.parameter == "frame" else f"--{error.parameter}"
        return _fail(EXIT_FILE if error.parameter == "frame" else EXIT_USAGE, f"{name}: {error.text}")
    except StepFailed as error:
        code = EXIT_NO_FILE if error.code == "forbidden" else EXIT_FILE
        return _fail(code, f"{arguments.file}: {error.text}")
    finally:
        os.close(path_fd)
    return _write(arguments.out or "-", octets)


def launcher() -> str:
    """Write a program for a web server that is this one and starts in half the time: Python looks for nothing else."""
    import msgspec  # noqa: PLC0415 Only to tell where libraries are.

    ours = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    theirs = os.path.dirname(os.path.dirname(os.path.realpath(msgspec.__file__)))
    return (
        f"#!{sys.executable} -IS\n"
        "# By `imgd-cgi --launcher`: write it again when imgd or its Python is installed elsewhere.\n"
        "import sys\n\n"
        f"sys.path += {list(dict.fromkeys((ours, theirs)))!r}\n"
        "from cgi_worker.cli import main  # noqa: E402\n\n"
        "sys.exit(main())\n"
    )


def _write(out: str, octets: bytes) -> int:
    if out == "-":
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
        return 0
    try:
        with open(out, "wb") as file:
            file.write(octets)
    except OSError as error:
        return _fail(EXIT_USAGE, f"-o {out}: {os.strerror(error.errno or 0)}")
    return 0


def _fail(code: int, text: str) -> int:
    print(f"imgd-cgi: {text}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """One clear line instead of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"imgd-cgi: {message} (--help tells more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="imgd-cgi",
        description="Make a picture of a FITS file.",
        epilog="A value that begins with a minus sign is written with =, as in --cut=-5,100. "
        "Without FILE, and with QUERY_STRING set, this is a CGI/1.1 program that asks the daemon at IMGD_SOCKET, "
        "or works alone below IMGD_ROOTS (name=/directory:name=/directory). "
        "imgd-cgi --launcher prints a program for web servers that starts sooner.",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", "--out", metavar="OUT", help="where to put the picture; - is standard output")
    parser.add_argument("--header", action="store_true", help="print the header as JSON instead of making a picture")
    parser.add_argument("--threads", type=_threads, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--limit", type=_size_bytes, default=LIMIT_BYTES, help="memory for buffers, such as 512MiB")
    view = parser.add_argument_group("view", "as in the address of a picture; see README")
    for name in _FLAGS:
        # Repeated flags are kept, so that the grammar itself refuses them; --invert alone means --invert=1.
        loose: dict[str, str] = {"nargs": "?", "const": "1"} if name == "invert" else {}
        view.add_argument(f"--{name}", action="append", default=[], metavar="VALUE", **loose)  # type: ignore[arg-type]
    return parser


def _threads(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 256):
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 256")
    return int(text)


def _size_bytes(text: str) -> int:
    number = text.rstrip("KMGiB")
    unit = _UNITS.get(text[len(number) :])
    if unit is None or not (number.isascii() and number.isdigit()) or not int(number):
        raise argparse.ArgumentTypeError("must be a size such as 512MiB")
    return int(number) * unit
