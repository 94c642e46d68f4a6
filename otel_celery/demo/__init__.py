"""The demo: an app of a small trading house, whose five worker pools run a made-up load, to show their metrics."""
