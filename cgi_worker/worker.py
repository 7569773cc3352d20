"""The worker itself: `process` with the real steps. Imported by the template, so that no worker has to."""

from PIL import AvifImagePlugin, Image, WebPImagePlugin

from cgi_worker.formats import sky_map
from cgi_worker.process import serve_with
from cgi_worker.run import do
from cgi_worker.steps.colours import load_maps

# Pillow imports its formats when the first picture is saved: that would be in every worker anew, and not at all in one
# whose reader may not read where Pillow is installed.
Image.preinit()
assert {WebPImagePlugin.WebPImageFile.format, AvifImagePlugin.AvifImageFile.format} <= set(Image.SAVE)
load_maps()  # For the same reason.
sky_map.load()


def serve(descriptor: int) -> None:
    """Live as a worker on this socket; see `process.serve_with`."""
    serve_with(descriptor, do)
