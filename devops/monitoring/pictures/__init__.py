"""Draws `docs/images/`: the demo's table, and the dashboards' panels on the demo's data. `make pictures`."""
