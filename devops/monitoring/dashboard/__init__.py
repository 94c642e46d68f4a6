"""Makes Grafana's three dashboards out of the catalogue: `make generated`."""
