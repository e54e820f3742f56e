"""The alerts on the dashboard and in the metrics, and the address that is a secret."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.alerts.models import Alert, AlertState
from shop.alerts.rules import RULES
from shop.clock import utcnow
from shop.config import ConfigurationError, read_settings
from shop.database import insert_ignore, transaction
from shop.delivery.models import Shipment, Step
from shop.orders.models import Order
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.factories import make_order, make_user, sign_in
from tests.test_configuration import SAFE

SECRET = "https://hooks.chat.example/services/T000/B000/very-secret-part"


@pytest.fixture
def state(shop, app):
    """Payments fail just now; a webhook took 2 s, a parcel 4 s."""

    def make():
        order_id, now = make_order("paid").id, utcnow()
        with transaction() as session:
            for key in RULES:
                session.add(
                    Alert(key=key, since=utcnow(), measured_at=utcnow(), threshold=5, value=1)
                )
            session.flush()
            session.execute(
                sa.update(Alert)
                .where(Alert.key == "payment_success")
                .values(state=AlertState.FIRING, value=84, sample=50, threshold=90)
            )
            session.execute(sa.update(Order).values(paid_at=now - timedelta(seconds=10)))
            session.add(
                Shipment(
                    order_id=order_id, courier="sandbox", reference="r", step=Step.LABELLED,
                    made_at=now - timedelta(seconds=6),
                )
            )  # fmt: skip
            received_at = now - timedelta(seconds=60)
            insert_ignore(
                WebhookEvent,
                {
                    "source": "stripe", "event_id": "1", "kind": "x", "raw_body": b"", "headers": {},
                    "received_at": received_at, "processed_at": received_at + timedelta(seconds=2),
                    "status": WebhookStatus.PROCESSED,
                },
            )  # fmt: skip

    shop.scene("alerts_shown", make)


def home_of(client, role):
    sign_in(client, make_user(role))
    return client.get("/admin/").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.breaks_books
def test_the_dashboard_shows_what_fires_with_its_link_and_the_figures_beside_their_targets(
    state, client, configure
):
    configure(alert_webhook_url=SECRET)
    shown = home_of(client, "manager")
    assert "84 % of 50 payments in the last hour succeeded; under 90 % is an alarm." in shown
    assert 'href="/admin/orders?tab=needs-attention"' in shown
    assert shown.count("Firing") == 1
    assert shown.count("Quiet") == len(RULES) - 1
    assert "95 of 100 within 2.0 s, target 5 s" in shown
    assert "95 of 100 within 4.0 s, target 3 s" in shown
    assert "of 1 parcels in 24 h, target 1 %" in shown
    assert "posted to hooks.chat.example" in shown
    assert "very-secret-part" not in shown
    assert "/T000/" not in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.breaks_books
def test_who_may_not_see_the_machinery_sees_no_alerts(state, client):
    shown = home_of(client, "support")
    assert "Firing" not in shown
    assert "is an alarm" not in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_dashboard_stands_before_anything_was_measured(app, client):
    shown = home_of(client, "owner")
    assert shown.count("Not measured") == len(RULES)
    assert "none in 24 h, target 5 s" in shown


@pytest.mark.breaks_books
def test_the_metrics_hold_the_same_figures(state, client):
    told = client.get("/metrics").text
    for line in (
        'shop_alert_firing{alert="payment_success"} 1.0',
        'shop_alert_firing{alert="no_worker"} 0.0',
        'shop_alert_value{alert="payment_success"} 84.0',
        'shop_webhook_seconds{quantile="0.95"} 2.0',
        'shop_shipment_seconds{quantile="0.5"} 4.0',
        "shop_shipment_failure_ratio 0.0",
    ):
        assert line in told


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.chat.example/secret", "https://localhost/secret", "https://127.0.0.1/secret",
        "https://10.1.2.3/secret", "https://169.254.169.254/secret", "https://[::1]/secret",
        "https://intranet/secret", "https://db.internal/secret", "https://user:secret@hooks.chat.example/",
    ],
)  # fmt: skip
def test_an_address_that_leads_inside_or_is_not_encrypted_stops_the_start(address):
    with pytest.raises(ConfigurationError) as stopped:
        read_settings({**SAFE, "ALERT_WEBHOOK_URL": address})
    assert "ALERT_WEBHOOK_URL" in str(stopped.value)
    assert "secret" not in str(stopped.value)


def test_a_public_address_or_any_in_development_will_do():
    assert read_settings({**SAFE, "ALERT_WEBHOOK_URL": SECRET}).alert_webhook_url == SECRET
    local = {"SECRET_KEY": "x" * 40, "ALERT_WEBHOOK_URL": "http://127.0.0.1:9/hook"}
    assert read_settings(local).alert_webhook_url == "http://127.0.0.1:9/hook"
