"""The worker itself: `process` with the real steps. Imported by the template, so that no worker has to."""

from PIL import Image, WebPImagePlugin

from cgi_worker.process import serve_with
from cgi_worker.steps.run import do

# Pillow imports its formats when the first picture is saved: that would be in every worker anew, and not at all in one
# whose reader may not read where Pillow is installed.
Image.preinit()
assert WebPImagePlugin.WebPImageFile.format in Image.SAVE


def serve(descriptor: int) -> None:
    """Live as a worker on this socket; see `process.serve_with`."""
    serve_with(descriptor, do)
