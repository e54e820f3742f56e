"""What Amazon SES tells of mail, by SNS: deliveries, bounces, complaints, and the subscription itself."""

from collections.abc import Iterator

import pytest

from shop.config import settings
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging import consents
from shop.messaging.channels import ses
from shop.messaging.models import NotificationStatus
from shop.providers import ProviderRefused, reset_lines
from shop.webhooks.models import WebhookStatus
from tests.messaging.desk import Desk, events
from tests.messaging.ways import Way
from tests.simulators import ses as amazon
from tests.simulators.scripted import Scripted

S = NotificationStatus
sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def one_ses() -> Iterator[amazon.Ses]:
    made = amazon.Ses()
    yield made
    made.stop()


@pytest.fixture
def mail(app, client, configure, one_ses) -> Desk:
    one_ses.messages.clear()
    one_ses.outbox.clear()
    one_ses.delivers = False
    configure(
        smtp_url=one_ses.smtp_url, ses_webhook_secret=(amazon.SECRET,), ses_topic_arn=amazon.TOPIC,
        ses_configuration_set="till",
    )  # fmt: skip
    one_ses.webhook_url = f"{settings().public_url}/webhooks/messages/ses/{amazon.SECRET}"
    reset_lines()
    way = Way("email", "smtp", lambda: one_ses, lambda made: {}, "")
    return Desk(way, one_ses, client)


def mailed(mail: Desk, recipient: str) -> int:
    """A mail that SES took; the message's id in the table."""
    made = mail.send(recipient=recipient, message_id="<1@shop.example>", subject="Shipped", html="<p>x</p>")  # fmt: skip
    return mail.note(provider_id=made, recipient=recipient, message_id="<1@shop.example>")


@sqlite_only
def test_a_mail_is_known_by_amazons_id_since_its_message_id_is_replaced(mail, run_jobs):
    ours = mailed(mail, "asha@shopper.example")
    (made,) = mail.stand_in.messages
    assert mail.row(ours).provider_id == made
    assert made in mail.stand_in.mails[made]["Message-ID"]
    assert mail.stand_in.messages[made].more["set"] == "till"
    mail.stand_in.settle()
    assert mail.carry() == [200]
    run_jobs()
    assert mail.row(ours).status == S.DELIVERED


@sqlite_only
def test_a_mail_whose_end_was_unknown_is_known_by_its_delivery(mail, run_jobs):
    mail.send(recipient="asha@shopper.example", message_id="<1@shop.example>", html="<p>x</p>")
    ours = mail.note(S.UNCERTAIN, recipient="asha@shopper.example")
    mail.stand_in.settle()
    mail.carry()
    run_jobs()
    assert mail.row(ours).status == S.DELIVERED


@pytest.mark.parametrize(
    ("recipient", "what", "status", "reason"),
    [
        ("bounce@simulator.amazonses.com", "bounce", S.FAILED, "bounced"),
        ("Complaint@Shopper.example", "complaint", S.DELIVERED, "complained"),
        ("full@shopper.example", "soft", S.FAILED, ""),
    ],
)
def test_bounces_and_complaints_mark_the_address(mail, run_jobs, recipient, what, status, reason):
    ours = mailed(mail, recipient)
    (made,) = mail.stand_in.messages
    mail.stand_in.report(made, what)
    assert mail.carry(times=2) == [200, 200]
    run_jobs()
    assert mail.row(ours).status == status
    assert consents.is_suppressed("email", recipient) == reason


@sqlite_only
def test_a_bounce_of_a_mail_that_is_in_no_table_marks_the_address_too(mail, run_jobs):
    mail.stand_in.notify(amazon.notice("unknown-1", "gone@shopper.example", "bounce"))
    mail.carry()
    run_jobs()
    assert consents.is_suppressed("email", "gone@shopper.example") == "bounced"
    assert events()[0].status == WebhookStatus.PROCESSED


@sqlite_only
def test_another_topic_and_another_address_are_refused(mail):
    mail.stand_in.notify(amazon.notice("1", "a@b.example", "bounce"), topic="arn:aws:sns:evil")
    mail.stand_in.webhook_url += "x"
    mail.stand_in.notify(amazon.notice("1", "a@b.example", "bounce"))
    assert mail.carry() == [400, 400]
    assert events() == []
    assert consents.is_suppressed("email", "a@b.example") == ""


@sqlite_only
@pytest.mark.parametrize(
    ("address", "is_visited"),
    [
        ("https://sns.ap-south-1.amazonaws.com/?Action=ConfirmSubscription&Token=1", True),
        ("https://sns.ap-south-1.amazonaws.com.evil.example/", False),
        ("http://169.254.169.254/latest", False),
    ],
)
def test_only_amazon_is_told_yes(mail, run_jobs, monkeypatch, address, is_visited):
    visited: list[str] = []
    monkeypatch.setattr(ses, "confirm", visited.append)
    mail.stand_in.ask_to_confirm(address)
    assert mail.carry() == [200]
    run_jobs()
    assert visited == ([address] if is_visited else [])
    kinds = db.session.scalars(db.select(Job.kind)).all()
    assert ("webhooks.confirm_sns" in kinds) == is_visited


@sqlite_only
def test_a_confirmation_that_is_refused_says_so(app):
    server = Scripted()
    try:
        server.status = 403
        with pytest.raises(ProviderRefused):
            ses.confirm(server.url)
        server.status = 200
        ses.confirm(server.url)
    finally:
        server.stop()
