"""Worker pools from one TOML file: start them, keep them running, stop them together, and show their metrics."""
