"""Real processes: template, workers, segments, the CGI."""
