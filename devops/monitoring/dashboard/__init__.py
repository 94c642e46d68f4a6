"""Makes `grafana_dashboards.json` out of the catalogue: `make generated`."""
