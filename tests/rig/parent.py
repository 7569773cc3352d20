"""A small daemon that forks two workers, prints all process ids, and waits to be killed."""

import os
import sys

import trio

from cgi_worker.wire.packets import Identity
from imgd.engine.workers import open_template
from tests.rig.bench import STAND_IN, Job, make_segments
from tests.rig.steps import HANG


async def main() -> None:
    """Fork an idle worker and a busy one."""
    segments = make_segments()
    async with open_template(STAND_IN) as template:
        idle = await template.fork(1, Identity())
        busy = await template.fork(2, Identity())
        busy.send(*Job(segments, qualities=(HANG, 1)).order())
        for _ in range(2):  # Hello, and the progress that says that it is at work.
            await busy.receive()
        sys.stdout.write(f"{os.getpid()} {template.pid} {idle.pid} {busy.pid}\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
