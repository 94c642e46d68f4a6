"""The metrics that tasks record in pool children, carried to the main process and merged there."""
