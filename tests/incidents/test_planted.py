"""Card numbers, passwords and providers' secrets that are planted everywhere are found nowhere (I37)."""

import json
from pathlib import Path

import pytest
import structlog

from shop import logs
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.incidents.trackers import ticket_of
from shop.incidents.trackers.jsonl import JsonLines
from shop.jobs.handlers import HANDLERS, Handler, Policy, Work
from shop.jobs.queue import enqueue
from shop.messaging import consents
from shop.messaging.models import Notification
from shop.providers import ProviderRefused, TryLater
from tests import factories

CARD, SPACED, CVC = "4242424242424242", "4242 4242 4242 4242", "cvc 987"
PASSWORD = "planted horse battery"
NUMBER = "+919876543210"
#: Nobody answers there.
AWAY = "http://127.0.0.1:9"
SECRETS = {
    "alert_webhook_url": f"{AWAY}/T000/planted-alert-secret",
    "smtp_url": "smtp://shop:planted-smtp-secret@127.0.0.1:9",
    "twilio_auth_token": "planted-twilio-secret",
    "wati_token": "planted-wati-secret",
    "wati_webhook_secret": ("planted-wati-webhook-secret",),
    "stripe_secret_key": "sk_test_planted_stripe_secret",
    "stripe_webhook_secret": ("whsec_planted_stripe_secret",),
}


@pytest.fixture
def as_in_production(capsys):
    """Log lines in production's form; returns how to read them."""
    before = structlog.get_config()
    logs.set_up("INFO", pretty=False)
    yield lambda: "".join(capsys.readouterr())
    structlog.configure(**before)


@pytest.fixture
def gateway_that_talks():
    """A job whose provider repeats a card number, once for later and once for good."""

    def say(work: Work) -> None:
        fault = TryLater if work.attempt == 1 else ProviderRefused
        raise fault(f"the card {SPACED} ({CARD}) of {NUMBER} was declined")

    HANDLERS["test.card"] = Handler("test.card", Policy(base=1, incident=("payment", "high")), say)
    yield
    del HANDLERS["test.card"]


def tables() -> str:
    db.session.rollback()
    return "\n".join(
        f"{table.name} {row!r}"
        for table in db.metadata.sorted_tables
        for row in db.session.execute(db.select(table))
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_i37_nothing_keeps_what_was_planted(
    app, client, configure, jira, run_jobs, as_in_production, gateway_that_talks
):
    configure(
        **SECRETS, messages_dry_run=False, sms_channel="twilio", whatsapp_channel="wati",
        twilio_account_sid="AC1", twilio_sms_from="+15005550006", twilio_api_base=AWAY, wati_url=AWAY,
        payment_gateways=("stripe", *settings().payment_gateways), stripe_api_base=AWAY,
    )  # fmt: skip
    person = factories.make_user("customer")
    for path, password in (("/account/sign-in", PASSWORD), ("/account/register", PASSWORD)):
        wish = {
            "email": person.email,
            "password": password,
            "name": "Asha",
            "card": CARD,
            "cvc": CVC,
        }
        client.post_form(path, wish)
    order_id = factories.make_order(user=person, method="stripe").id
    with transaction():
        for kind in ("sms", "whatsapp"):
            consents.grant(kind, NUMBER, "transactional", "checkout")

    for path in ("messages/wati/planted-wati-webhook-secret-and-more", "stripe"):
        client.post(f"/webhooks/{path}", data=json.dumps({"card": CARD}))
    with transaction():
        enqueue("messaging.tell", {"event": "order_confirmed", "order_id": order_id})
        enqueue("test.card", {"order_id": order_id})
        told = {
            "value": 1.0,
            "sample": 9,
            "threshold": 0.0,
            "at": "2026-11-21",
            "since": "2026-11-21T00:00:00+00:00",
        }
        enqueue("alerts.post", {"alert": "errors", "what": "began", **told})
    for minutes in (0, 10, 2000):
        run_jobs(ahead=minutes * 60)
    for incident in db.session.scalars(db.select(Incident)):
        JsonLines().file(ticket_of(incident))

    kept = {
        "tables": tables(), "logs": as_in_production(),
        "tickets": json.dumps([jira.issues, jira.comments], ensure_ascii=False),
        "lines": Path(settings().incidents_file).read_text(encoding="utf-8"),
    }  # fmt: skip
    assert db.session.scalars(
        db.select(Notification.error).where(Notification.error.is_not(None))
    ).all()
    for place in ("tables", "logs", "tickets", "lines"):
        assert "test.card" in kept[place], f"{place}: what was planted came by there"
    wanted = [CARD, SPACED, CVC, PASSWORD, jira.token, "planted-", "planted_"]
    for place, text in kept.items():
        assert not [one for one in wanted if one in text], place
