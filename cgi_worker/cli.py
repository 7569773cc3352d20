"""`imgd-cgi`: one picture of one file, without a daemon; or, started by a web server, a CGI/1.1 program."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # As in `cgi`: importing it costs.
    from collections.abc import Sequence


def main(given: "Sequence[str] | None" = None) -> int:
    """Work as asked; return the exit code.

    0: done · 2: the command or the view is wrong · 3: the file is at fault · 4: no such file, or it may not be read ·
    5: the daemon did not give an answer · 70: we are at fault.
    """
    arguments = sys.argv[1:] if given is None else given
    try:
        # GATEWAY_INTERFACE decides alone: a web server passes a query without "=" as arguments, which are a stranger's.
        # What computes is imported where it is needed: asking a daemon must not wait for numpy.
        if "GATEWAY_INTERFACE" in os.environ or ("QUERY_STRING" in os.environ and not arguments):
            from cgi_worker import cgi  # noqa: PLC0415

            return cgi.run(os.environ)
        import signal  # noqa: PLC0415

        from cgi_worker import command  # noqa: PLC0415

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Whoever reads us may leave; that is nobody's fault.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return command.run(arguments)
    except Exception:  # The outermost frame of this process.
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        return 70


if __name__ == "__main__":
    sys.exit(main())
