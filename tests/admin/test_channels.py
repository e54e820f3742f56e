"""The channels screen: what is chosen, ready, dry; what was heard; and the test that asks harmlessly."""

import re
from collections.abc import Iterator

import pytest

from shop.admin.redaction import shown_body
from shop.audit.models import AuditEntry
from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.messaging.channels import CHANNELS
from shop.messaging.models import Notification, NotificationStatus
from shop.providers import reset_lines
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus
from tests.messaging.ways import BY_ID, WAYS
from tests.simulators.messengers import Messenger

PAGE = "/admin/channels"
CARD = re.compile(r'<section class="card" aria-labelledby="c-([\w-]+)">(.*?)</section>', re.S)
sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def cards(browser) -> dict[str, str]:
    """Each channel's part of the screen."""
    answer = browser.get(PAGE)
    assert answer.status_code == 200
    return {
        key: re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
        for key, text in CARD.findall(answer.text)
    }


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, Messenger]]:
    made = {way.id: way.stand_in() for way in WAYS}
    yield made
    for one in made.values():
        one.stop()


@sqlite_only
def test_each_channel_says_whether_it_is_chosen_ready_and_dry(staff, configure):
    configure(
        sms_channel="termii", whatsapp_channel="wati", messages_dry_run=True, smtp_url="",
        wati_url="https://live-mt-server.wati.io/1", wati_token="wati-hush-1",
        wati_webhook_secret=("wati-hush-22222222222",), twilio_auth_token="twilio-hush-3",
    )  # fmt: skip
    answer = staff("manager").get(PAGE)
    shown = cards(staff("manager"))
    assert set(shown) == {f"{kind}-{key}" for kind, keys in CHANNELS.items() for key in keys}
    assert "Dry run" in shown["email-mailbox"]
    assert "SMTP_URL is empty" in shown["email-mailbox"]
    for name in ("TERMII_API_BASE", "TERMII_API_KEY", "TERMII_SENDER_ID", "TERMII_SECRET_KEY"):
        assert name in shown["sms-termii"]
    assert "Not ready" in shown["sms-termii"]
    assert "Ready" in shown["whatsapp-wati"]
    assert "MESSAGES_DRY_RUN is true" in shown["whatsapp-wati"]
    address = f"{settings().public_url}/webhooks/messages/wati/&lt;WATI_WEBHOOK_SECRET&gt;"
    assert address in shown["whatsapp-wati"]
    assert "TWILIO_SMS_FROM or TWILIO_MESSAGING_SERVICE_SID" in shown["sms-twilio"]
    assert "docs/channels/whatsapp_cloud.md" in shown["whatsapp-cloud"]
    assert answer.text.index("c-whatsapp-wati") < answer.text.index("Not chosen")
    assert answer.text.index("Not chosen") < answer.text.index("c-sms-twilio")
    assert "hush" not in answer.text


def test_what_was_heard_and_how_messages_fared_stands_on_the_card(staff, configure):
    configure(sms_channel="twilio")
    with transaction() as session:
        statuses = ("sent", "delivered", "read", "failed", "uncertain", "queued", "suppressed")
        for number, status in enumerate(statuses):
            session.add(
                Notification(
                    template="order_shipped", channel="sms", provider="twilio", context={},
                    recipient="+919876543210", dedupe_key=str(number), status=NotificationStatus(status),
                )
            )  # fmt: skip
        session.add(
            WebhookEvent(
                source="messages/twilio", event_id="e1", kind="delivered", raw_body=b"{}",
                received_at=utcnow(), status=WebhookStatus.PROCESSED, processed_at=utcnow(),
            )
        )  # fmt: skip
        for hours, count in ((-2, 3), (-30, 9)):
            hour_at = in_future(hours=hours)
            session.add(WebhookRefusal(source="messages/twilio", hour_at=hour_at, count=count))
    shown = cards(staff("manager"))
    assert "5 in 7 days, 2 known to have come, 2 failed or uncertain" in shown["sms-twilio"]
    assert "3 refused within a day" in shown["sms-twilio"]
    assert "delivered" in shown["sms-twilio"]
    # The same provider's other kind counts for itself, and hears by the same address.
    assert "None in 7 days" in shown["whatsapp-twilio"]
    assert "3 refused within a day" in shown["whatsapp-twilio"]


def ask(browser, kind: str, key: str):
    return browser.send(f"{PAGE}/{kind}/{key}/test", {})


def tests() -> list[AuditEntry]:
    db.session.rollback()
    found = db.select(AuditEntry).where(AuditEntry.action == "channel.tested")
    return list(db.session.scalars(found.order_by(AuditEntry.id)))


tests.__test__ = False


@sqlite_only
@pytest.mark.parametrize("way_id", [way.id for way in WAYS if way.key != "interakt"])
def test_a_test_asks_the_provider_and_sends_nothing(staff, run_jobs, configure, stand_ins, way_id):
    way, stand_in = BY_ID[way_id], stand_ins[way_id]
    configure(**way.settings(stand_in), messages_dry_run=True)
    reset_lines()
    browser = staff("manager")
    assert ask(browser, way.kind, way.key).status_code == 303
    assert "Being asked" in cards(browser)[f"{way.kind}-{way.key}"]
    run_jobs()
    (entry,) = tests()
    assert entry.after["good"]
    assert "It answered" in cards(browser)[f"{way.kind}-{way.key}"]
    assert stand_in.messages == {}


@sqlite_only
def test_a_key_that_does_not_fit_is_said_and_not_repeated(staff, run_jobs, configure, stand_ins):
    way, stand_in = BY_ID["whatsapp-cloud"], stand_ins["whatsapp-cloud"]
    configure(**{**way.settings(stand_in), "whatsapp_cloud_token": "hush-hush"})
    reset_lines()
    browser = staff("manager")
    ask(browser, "whatsapp", "cloud")
    run_jobs()
    (entry,) = tests()
    assert not entry.after["good"]
    assert "It turned the question down" in cards(browser)["whatsapp-cloud"]
    assert "hush-hush" not in str(entry.after)


@sqlite_only
def test_what_lacks_its_keys_or_is_not_there_cannot_be_tested(staff, configure):
    browser = staff("manager")
    configure(sms_channel="twilio")
    refused = ask(browser, "sms", "twilio")
    assert refused.status_code == 422
    assert "TWILIO_ACCOUNT_SID" in refused.text
    assert ask(browser, "whatsapp", "interakt").status_code == 422
    assert ask(browser, "sms", "pigeon").status_code == 404


@sqlite_only
def test_mail_can_be_tried_without_sending_any(staff, run_jobs, smtp_server):
    browser = staff("manager")
    ask(browser, "email", "smtp")
    run_jobs()
    assert "It answered" in cards(browser)["email-smtp"]
    assert smtp_server.messages == []


@sqlite_only
def test_support_neither_sees_nor_tests(staff):
    browser = staff("support")
    assert browser.get(PAGE).status_code in {403, 404}
    assert browser.post(f"{PAGE}/sms/twilio/test").status_code in {400, 403, 404}


@pytest.mark.parametrize(
    "body",
    [
        b"MessageSid=SM1&To=%2B919876543210&Body=Hi+Asha&From=whatsapp%3A%2B919876543210",
        b'{"waId": "919876543210", "text": "Hi Asha", "eventType": "x"}',
        b'{"customerNumber": "919876543210", "content": "[{\\"text\\": \\"Hi Asha\\"}]"}',
        b'{"receiver": "919876543210", "status": "Delivered"}',
        b'{"statuses": [{"recipient_id": "919876543210"}], "messages": [{"text": {"body": "Hi Asha"}}]}',
    ],
)
def test_the_inspector_shows_neither_numbers_nor_words(body):
    shown = shown_body(body)
    assert "9876543210" not in shown
    assert "Asha" not in shown
    assert "[redacted]" in shown
