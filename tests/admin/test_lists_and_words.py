"""What stands in the admin's lists and sentences: whole pages, plain words, money as people write it."""

import re

import pytest

from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.messaging.models import Notification
from shop.preferences import preference
from shop.webhooks.models import WebhookEvent

OLDER = re.compile(r'href="([^"]*[?&;]before=\d+)"')


def rows_of(number):
    """So many of each kind, numbered."""
    now = utcnow()
    with transaction() as session:
        for n in range(number):
            session.add_all([
                Job(kind="test.mark", key=f"row-{n:02}-", payload={}, max_attempts=1, run_at=now),
                WebhookEvent(
                    source="sandbox", event_id=f"row-{n:02}-", kind=f"row-{n:02}-", raw_body=b"{}",
                    received_at=now,
                ),
                Incident(
                    category="api", severity="low", fingerprint=f"f{n}", issue=f"row-{n:02}-",
                    last_seen_at=now,
                ),
                AuditEntry(actor="user:1", action="test.row", subject=f"row-{n:02}-"),
            ])  # fmt: skip


@pytest.mark.parametrize(
    ("places", "rows"), [(("jobs", "webhooks", "incidents"), 25), (("audit",), 50)]
)
def test_each_row_of_a_list_stands_on_one_of_its_pages(staff, places, rows):
    browser = staff("owner")
    rows_of(rows + 1)
    for place in places:
        first = browser.get(f"/admin/{place}").text
        older = OLDER.search(first)
        assert older, f"there is no way to the older {place}"
        second = browser.get(older[1].replace("&amp;", "&")).text

        seen = [set(re.findall(r"row-(\d\d)-", text)) for text in (first, second)]
        assert seen[0] | seen[1] == {f"{n:02}" for n in range(rows + 1)}, place
        assert not seen[0] & seen[1], place
        assert not OLDER.search(second), place


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_timeline_tells_of_money_and_mails_in_plain_sentences(staff, order_in):
    order = order_in("paid")
    with transaction() as session:
        session.add(
            Notification(
                order_id=order.id, template="order_confirmed", channel="mail",
                recipient="a@shopper.example", dedupe_key="x", subject="Your order", status="failed",
            )
        )  # fmt: skip
    shown = staff("manager").get(f"/admin/orders/{order.number}").text

    assert "The payment page is open" in shown
    assert "Sandbox answered when the payment began" in shown
    assert re.search(r"₹[\d,.]+ came in", shown)
    assert "Sandbox told us" in shown
    assert "The message “Your order” could not be sent" in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_money_in_the_settings_is_read_and_typed_in_major_units(staff):
    browser = staff("owner")
    shown = browser.get("/admin/settings").text
    assert re.search(r'id="s-cod_fee_minor"[^>]*value="49.00"', shown)
    assert "smallest unit" not in shown

    answer = browser.send("/admin/settings/cod_fee_minor", {"value": "1,059.5"})
    assert answer.status_code == 303
    db.session.rollback()
    assert preference("cod_fee_minor") == 105_950
    assert re.search(
        r'id="s-cod_fee_minor"[^>]*value="1059.50"', browser.get("/admin/settings").text
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_amount_that_cannot_be_is_kept_beside_what_is_wrong(staff):
    browser = staff("owner")
    for typed, words in (
        ("4.999", "Enter an amount like 1299.00"),
        ("-1", "Enter an amount like 1299.00"),
        ("", "Enter an amount like 1299.00"),
        ("200000.00", "That amount is too large for this setting."),
    ):
        answer = browser.send("/admin/settings/cod_fee_minor", {"value": typed})
        assert answer.status_code == 422, typed
        assert words in answer.text, typed
        kept = rf'id="s-cod_fee_minor"[^>]*value="{re.escape(typed)}"'
        assert re.search(kept, answer.text), typed
    assert preference("cod_fee_minor") == 4900
