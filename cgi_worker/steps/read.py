"""Read: one full-size plane of a source that has no random access."""

from cgi_worker.formats.rows import read_plane
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.steps import Read


def do(step: Read, work: Work) -> Made:
    """Write the plane (output 0): stored values, native byte order."""
    plane = work.output_array(0)
    read_plane(work.source_fd, step.hdu, step.plane, plane, threads=work.threads)
    return Made((plane.nbytes,))
