"""Draws `docs/images/`: the demo's table, and the dashboard's panels on the demo's data. `make pictures`."""
