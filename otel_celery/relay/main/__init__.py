"""The relay's side in the worker's main process."""
