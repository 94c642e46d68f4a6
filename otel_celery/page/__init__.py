"""What people see of the port: a page about one process, made of the families that a scrape would get.

It knows neither Celery nor OpenTelemetry, nor what serves it, and is imported when somebody first asks for the page.
"""
