"""`imgd stat`: decides how a daemon's figures look to who looks after it; it never decides what they are."""
