"""Clay, declared: the capability table of the founding document, and Clay's own numbers."""

from __future__ import annotations

from ..contract import Allowance, AuthKind, Capabilities, ConnectFlow, Provider
from .diagnosis import diagnose
from .forms import ClayConnectForm
from .recipe import RECIPES
from .submit import SUBMIT

PROVIDER = Provider(
    name="Clay",
    description="A spreadsheet that enriches rows. Push rows into a table through its webhook.",
    category="Data and research",
    auth_kind=AuthKind.API_KEY,
    connect_flow=ConnectFlow.INLINE_WEBHOOK_URL,
    capabilities=Capabilities(actions=True),  # events, webhook delivery, event samples, live status: no
    connect_form=ClayConnectForm,
    # Clay takes 10 rows a second with a burst of 20; just below, network jitter never earns a 429 (measured).
    allowance=Allowance(rate_per_second=9.9, burst=18, submission_limit=50_000),
    actions=(SUBMIT,),
    sample_row={"_test": True, "email": "ada@example.com", "company_domain": "example.com", "source": "mobius"},
    diagnose=diagnose,
    where_to_find=(
        "Open the workbook in Clay and press + Add at the bottom.",
        "Choose Monitor webhook.",
        "Copy the webhook URL. If you switched on an authentication token, copy it too: Clay shows it once.",
    ),
    test_costs="A test creates one row in your Clay table, uses one of the webhook's 50,000 submissions for life, "
    "and starts the table's enrichments if they run by themselves, which may spend credits.",
    docs_url="https://university.clay.com/docs/webhook-integration-guide",
    recipes=RECIPES,
)
