"""The image.cgi worker: opens frames and touches pixels; never the network, never imgd."""
