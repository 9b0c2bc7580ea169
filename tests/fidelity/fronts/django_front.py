"""A Django application for gunicorn and uvicorn: GET /w/ID/MODE/COUNT makes COUNT calls for ID, as MODE says."""

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from calls import call

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", MIDDLEWARE=[])
django.setup()


def work(request, name, count):
    for number in range(count):
        call(name, number)
    return HttpResponse(name)


async def work_in_threads(request, name, count):
    for number in range(count):
        await sync_to_async(call, thread_sensitive=number % 2 == 0)(name, number)
    return HttpResponse(name)


urlpatterns = [path("w/<name>/seq/<int:count>", work), path("w/<name>/async/<int:count>", work_in_threads)]
by_wsgi = get_wsgi_application()
by_asgi = get_asgi_application()
