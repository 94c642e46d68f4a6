"""Carry the metrics that tasks record in pool children to the main process, and merge them there."""
