"""One address, where an order is placed."""

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from shop.tasks import send_receipt


@csrf_exempt
@require_POST
def place(_request: HttpRequest, order: int) -> JsonResponse:
    """Publish a task, and answer."""
    send_receipt.delay(order)
    return JsonResponse({"placed": order})


urlpatterns = [path("orders/<int:order>", place)]
