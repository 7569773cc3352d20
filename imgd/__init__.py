"""The imgd daemon: plans, reserves, supervises and answers; it never opens an image and never touches a pixel."""
