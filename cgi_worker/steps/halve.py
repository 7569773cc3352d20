"""Halve: the next level of a pyramid from the one before."""

from cgi_worker.kernels.halve import halve
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.steps import Halve


def do(_step: Halve, work: Work) -> Made:
    """Make level n (output 0) of level n - 1 (input 0): the channels' means, then their numbers of good pixels."""
    level, out = work.input_array(0), work.output_array(0)
    for channel in range(len(out) // 2):
        halve(level, channel, out)
    return Made((out.nbytes,))
