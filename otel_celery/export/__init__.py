"""Code that the exporters of metrics and of spans share: OTLP arguments, entry points, and their log lines."""
