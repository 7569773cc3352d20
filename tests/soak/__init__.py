"""A crowd of days in minutes: random users, broken and changing frames, killed workers; at the end all is as before."""
