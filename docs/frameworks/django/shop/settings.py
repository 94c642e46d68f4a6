"""Settings, as few as this project needs."""

SECRET_KEY = "for-this-example-only"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
TIME_ZONE = "UTC"

CELERY_BROKER_URL = "redis://localhost:6379/0"  # the environment variable of the same name wins
CELERY_TASK_IGNORE_RESULT = True
