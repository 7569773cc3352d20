"""Glancing: a coarse picture, before the exact tiles, where these are not there at once."""

from dataclasses import replace
from typing import Final

import trio

from cgi_worker.wire.recipe import COARSE_PX_MIN, picture_size
from cgi_worker.wire.steps import Recipe, Reduce
from imgd.engine.client import Terms, open_job
from imgd.engine.supervise import Floor
from imgd.model import Asker, OpenSource, Replied, Urgency
from imgd.running import Glanced

GLANCE_LIMIT_S: Final = 2.0  # Nobody waits longer for one: the exact picture would have to wait behind it.


def at_first(asker: Asker) -> Asker:
    """Ask for what little it takes until something is seen."""
    return replace(asker, urgency=Urgency.FIRST_LOOK)


def is_worth_it(floor: Floor, tiles: Recipe) -> bool:
    """Tell whether the exact picture will be there much later than a glance.

    tiles  what the viewport's tiles take.
    """
    core = floor.core
    missing = [
        stage.step
        for stage in tiles.stages
        if isinstance(stage.step, Reduce) and any(core.pool.find(tiles.buffers[at].key) is None for at in stage.outputs)
    ]
    pixels = max((step.region.width_px * step.region.height_px for step in missing), default=0)
    return pixels >= COARSE_PX_MIN or (pixels > 0 and core.demand >= core.limits.workers_max)


async def glance_at(
    floor: Floor, recipe: Recipe, asker: Asker, found: OpenSource, *, media_type: str
) -> Glanced | None:
    """Make a glance; None if it could not be made, or not soon: what is wrong is for the exact picture to say."""
    with trio.move_on_after(GLANCE_LIMIT_S):
        async with open_job(floor, recipe, at_first(asker), found, terms=Terms(continues=True)) as client:
            if isinstance(await client.ended(), Replied):
                return Glanced(media_type, *picture_size(recipe), client.whole())
    return None
