"""``python -m otel_celery.cli``: the same as the command ``otel-celery``."""

from otel_celery.cli import main

if __name__ == "__main__":
    main(prog_name="otel-celery")
