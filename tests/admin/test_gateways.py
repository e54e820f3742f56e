"""The gateways screen: what is ready, what was heard, how it goes; and the test that asks harmlessly."""

import re

import pytest
import sqlalchemy as sa

from shop.audit.models import AuditEntry
from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job
from shop.payments import attempts, recording
from shop.payments.gateways import GATEWAYS
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Payment, PaymentDifference
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus
from tests.factories import make_order, pay

GATEWAYS_PAGE = "/admin/gateways"
SECRETS = {
    "stripe_secret_key": "sk_test_51abcdef",
    "stripe_webhook_secret": ("whsec_one", "whsec_two"),
    "razorpay_key_id": "rzp_live_abc",
    "razorpay_key_secret": "razorsecret1",
}


def cards(answer):
    """Each gateway's part of the screen, by key."""
    assert answer.status_code == 200
    found = re.findall(
        r'<section class="card" aria-labelledby="g-(\w+)">(.*?)</section>', answer.text, re.S
    )
    return {key: re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)) for key, text in found}


def look(browser):
    return cards(browser.get(GATEWAYS_PAGE))


def test(browser, key):
    return browser.send(f"{GATEWAYS_PAGE}/{key}/test", {})


test.__test__ = False


def tests():
    db.session.rollback()
    return db.session.scalars(
        sa.select(AuditEntry).where(AuditEntry.action == "gateway.tested").order_by(AuditEntry.id)
    ).all()


tests.__test__ = False


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_way_to_pay_says_whether_it_is_ready_and_what_is_missing(staff, configure):
    configure(
        payment_gateways=("cod", "stripe", "razorpay", "paystack", "swish"),
        default_payment_gateway="stripe", swish_environment="test",
        **SECRETS,
    )  # fmt: skip
    answer = staff("manager").get(GATEWAYS_PAGE)
    shown = cards(answer)
    assert list(shown)[:5] == ["stripe", "cod", "razorpay", "paystack", "swish"]
    assert set(shown) == set(GATEWAYS)
    assert "Test mode" in shown["stripe"]
    assert "Ready" in shown["stripe"]
    assert "chosen first" in shown["stripe"]
    assert f"{settings().public_url}/webhooks/stripe" in shown["stripe"]
    assert "docs/gateways/stripe.md" in shown["stripe"]
    assert "Live" in shown["razorpay"]
    assert "Missing RAZORPAY_WEBHOOK_SECRET" in shown["razorpay"]
    assert "Missing PAYSTACK_SECRET_KEY" in shown["paystack"]
    assert "SWISH_PAYEE_ALIAS , SWISH_CERT_FILE , SWISH_KEY_FILE" in shown["swish"]
    assert "Webhook" not in shown["cod"]
    assert (
        answer.text.index("g-swish")
        < answer.text.index("Not switched on")
        < answer.text.index("g-flutterwave")
    )
    for secret in ("sk_test_51abcdef", "whsec_one", "whsec_two", "razorsecret1"):
        assert secret not in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_swish_with_pretend_money_in_production_is_withdrawn(staff, configure):
    browser = staff("manager")
    configure(
        payment_gateways=("swish",), default_payment_gateway="swish", shop_env="production",
        staff_second_factor="optional",
    )  # fmt: skip
    shown = look(browser)["swish"]
    assert "Pretend money" in shown
    assert "Withdrawn" in shown


def end(order, kind):
    """The gateway tells that the order's attempt came to nothing."""
    reference = attempts.latest(order.id).reference
    with transaction():
        recording.record(GatewayEvent(kind, reference=reference), "sandbox", "webhook")


def test_what_was_heard_and_how_payments_went_stands_on_the_card(staff):
    make_order(lines=1)
    for kind in (EventKind.EXPIRED, EventKind.FAILED, EventKind.CANCELLED):
        end(make_order(lines=1), kind)
    with transaction() as session:
        session.add_all(
            WebhookEvent(source="sandbox", event_id=f"e{number}", kind=kind, raw_body=b"{}",
                         received_at=utcnow(), status=WebhookStatus.FAILED, processed_at=utcnow())
            for number, kind in enumerate(["payment.old", "payment.newest"])
        )  # fmt: skip
        session.add(WebhookRefusal(source="sandbox", hour_at=in_future(hours=-2), count=3))
        session.add(WebhookRefusal(source="sandbox", hour_at=in_future(hours=-30), count=9))
        for named, settled in (("a", None), ("b", None), ("c", utcnow())):
            session.add(
                PaymentDifference(gateway="sandbox", what="fee", named=named, settled_at=settled)
            )
    shown = look(staff("manager"))["sandbox"]
    assert "payment.newest" in shown
    assert "Failed" in shown
    assert "payment.old" not in shown
    assert "3 refused within a day" in shown
    assert "0 % , 0 of 3 attempts that ended in 7 days" in shown
    assert "2 differences" in shown


def test_the_rate_counts_the_captured_of_this_weeks_attempts_that_ended(staff):
    pay(make_order(lines=1))
    end(make_order(lines=1), EventKind.FAILED)
    old, waiting = make_order(lines=1), make_order(lines=1)
    end(old, EventKind.EXPIRED)
    with transaction() as session:
        session.execute(
            sa.update(Payment)
            .where(Payment.order_id == old.id)
            .values(created_at=in_future(hours=-24 * 8))
        )
    assert "50 % , 1 of 2 attempts" in look(staff("manager"))["sandbox"]
    assert waiting.is_unpaid


def test_a_test_asks_the_provider_and_its_answer_is_shown_and_audited(staff, run_jobs):
    browser = staff("manager")
    assert test(browser, "sandbox").status_code == 303
    shown = browser.get(GATEWAYS_PAGE)
    assert "Being asked" in cards(shown)["sandbox"]
    assert 'hx-trigger="every 2s"' in shown.text
    run_jobs()
    shown = browser.get(GATEWAYS_PAGE)
    assert "It answered, and the key is good." in cards(shown)["sandbox"]
    assert 'hx-trigger="every 2s"' not in shown.text
    [entry] = tests()
    assert entry.subject == "gateway:sandbox"
    assert entry.actor == f"user:{browser.user_id}"
    assert entry.after == {"good": True, "result": "It answered, and the key is good."}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_test_that_cannot_be_made_is_refused_in_words(staff, run_jobs):
    browser = staff("manager")
    for key, words in (
        ("cod", "no provider to ask"),
        ("stripe", "STRIPE_SECRET_KEY"),
        ("swish", "pretended"),
    ):
        answer = test(browser, key)
        assert answer.status_code == 422
        assert words in answer.text
    assert test(browser, "nobody").status_code == 404
    run_jobs()
    assert not tests()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_may_see_jobs_sees_the_screen_and_others_do_not(staff):
    for role in ("support", "fulfilment"):
        browser = staff(role)
        assert browser.get(GATEWAYS_PAGE).status_code == 403
        assert test(browser, "sandbox").status_code == 403
        assert GATEWAYS_PAGE not in browser.get("/admin/").text
    assert f'href="{GATEWAYS_PAGE}"' in staff("manager").get("/admin/").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_gateways_and_more_rows_cost_no_more_statements(staff, configure, sql_count, run_jobs):
    browser = staff("manager")
    browser.get(GATEWAYS_PAGE)
    with sql_count() as few:
        browser.get(GATEWAYS_PAGE)
    configure(payment_gateways=tuple(GATEWAYS))
    with transaction() as session:
        for key in GATEWAYS:
            session.add(PaymentDifference(gateway=key, what="fee", named="a"))
            session.add(
                WebhookEvent(source=key, event_id="e", raw_body=b"{}", received_at=utcnow())
            )
            session.add(
                AuditEntry(
                    actor=f"user:{browser.user_id}",
                    action="gateway.tested",
                    subject=f"gateway:{key}",
                    after={"good": True, "result": "yes"},
                )
            )
            session.add(Job(kind="payments.compare", key=key, run_at=utcnow(), max_attempts=1,
                            status="succeeded", finished_at=utcnow()))  # fmt: skip
    with sql_count() as many:
        shown = look(browser)
    assert "yes" in shown["stripe"]
    assert len(many) == len(few) + 1  # the names of who tested: one statement, however many
