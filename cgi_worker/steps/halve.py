"""Halve: the next level of a pyramid from the one before."""

from cgi_worker.kernels.halve import halve
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.steps import Halve


def do(_step: Halve, work: Work) -> Made:
    """Make level n (output 0) of level n - 1 (input 0): the channels' means, then their numbers of good pixels."""
    level, out = work.input_array(0), work.output_array(0)
    channels = len(out) // 2
    for channel in range(channels):
        pair = out[channel::channels].copy()
        halve(level[channel::channels].copy(), pair)
        out[channel::channels] = pair
    return Made((out.nbytes,))
