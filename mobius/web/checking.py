"""Saying what is wrong with a form before it is sent: the page's own validator answers, and nothing is done.

The script `checking.js` asks when a field is left. Without a script the same sentences come when the form is sent.
"""

from __future__ import annotations

from django.forms import Form
from django.http import HttpResponse, JsonResponse

from mobius.errors import RateLimitExceeded
from mobius.projects import throttling
from mobius.web.access import ProjectRequest

HEADER = "X-Only-Check"


def is_check(request: ProjectRequest) -> bool:
    """Is this form sent to be looked at only?"""
    return HEADER in request.headers


def checked(request: ProjectRequest, form: Form) -> HttpResponse:
    """What is wrong with each field, in sentences, and what is probably wrong with a valid form: no value of any."""
    try:
        throttling.take_check(request.user.pk)
    except RateLimitExceeded as error:
        return HttpResponse(status=429, headers={"Retry-After": str(int(error.retry_after_seconds or 0) + 1)})
    found = {name: list(sentences) for name, sentences in form.errors.items() if name in form.fields}
    warnings = [] if form.errors or not hasattr(form, "warnings") else form.warnings()
    return JsonResponse({"errors": found, "warnings": warnings})
