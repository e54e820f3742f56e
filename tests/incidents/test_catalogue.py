"""One table lists every failure: what the code can open, what jobs give up, what the pages demand."""

import inspect

import pytest

from shop.database import transaction
from shop.extensions import db
from shop.incidents import catalogue
from shop.incidents.catalogue import FAILURES, JOB
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.handlers import HANDLERS, Handler
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater
from tests.incidents.forcing import forced_by_tests
from tests.incidents.pages import GIVE_UP, PROVIDERS
from tests.incidents.reading import faults_named

KINDS = sorted(key.removeprefix(JOB) for key in FAILURES if key.startswith(JOB))
#: What handlers ask of their payloads; none of it names a row.
NOTHING = 987_654_321


def test_every_fault_that_the_code_names_is_in_the_catalogue():
    unread = [place.where for place in faults_named() if not place.key]
    assert not unread, f"the fault's first words must stand in the call: {unread}"
    missing = {f"{p.key} ({p.where})" for p in faults_named() if p.key not in FAILURES}
    assert not missing


def test_the_catalogue_names_no_fault_that_nothing_opens():
    named = {place.key for place in faults_named()}
    assert {key for key in FAILURES if not key.startswith(JOB)} == named


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_kind_of_job_is_in_the_catalogue_as_its_policy_says(app):
    kinds = {kind for kind in HANDLERS if not kind.startswith("test.")}
    assert kinds == set(KINDS)
    for kind in kinds:
        listed = FAILURES[JOB + kind]
        category, severity = HANDLERS[kind].policy.incident
        assert category == listed.category, kind
        assert severity in listed.severities, kind


def test_a_key_is_read_off_a_fault():
    assert catalogue.key_of("late_money:7") == "late_money"
    assert catalogue.key_of("jobs_overdue") == "jobs_overdue"
    assert catalogue.key_of("job:payments.refund:refund_id=3") == "job:payments.refund"
    assert catalogue.to_do("never_heard_of:1") == ""


def test_each_says_in_words_what_it_is_and_what_to_do():
    for key, failure in FAILURES.items():
        for words in (failure.words, failure.to_do):
            assert words.endswith("."), key
            assert words[0].isupper(), key


def test_each_failure_that_is_no_jobs_is_forced_by_a_test():
    forced = forced_by_tests()
    wanted = {key for key in FAILURES if not key.startswith(JOB)}
    assert not wanted - set(forced), "no test is marked as forcing these"
    assert not set(forced) - set(FAILURES), "these are marked, and not in the catalogue"


# Jobs: each kind gives up in each of the three ways, and each time there is an incident.


class Failing:
    """An outward handler whose call fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def prepare(self, work: object) -> object:
        return work

    def call(self, request: object) -> object:
        raise self.error

    def record(self, work: object, request: object, answer: object) -> None:
        raise AssertionError


@pytest.fixture
def failing(monkeypatch):
    """`failing(kind, error)`: the kind's handler fails so; its policy and its consequences stay."""

    def fail(kind: str, error: Exception) -> None:
        real = HANDLERS[kind]

        def local(work: object) -> None:
            raise error

        broken = Handler(
            kind, real.policy,
            local=local if real.local else None,
            outward=None if real.local else Failing(error),
            on_failed_try=real.on_failed_try, on_give_up=real.on_give_up,
        )  # fmt: skip
        monkeypatch.setitem(HANDLERS, kind, broken)

    return fail


def payload_of(kind: str) -> dict[str, object]:
    """A payload with every name that the shop's jobs use; nothing has these ids."""
    names = (
        "order_id", "payment_id", "refund_id", "shipment_id", "event_id", "incident_id", "part_id",
        "notification_id", "line_id", "variant_id", "cart_id", "return_id", "reservation_id", "alert_id",
    )  # fmt: skip
    return {**dict.fromkeys(names, NOTHING), "mail": "digest", "email": "nobody@example.com"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_job_of_any_kind_that_gives_up_is_failed_and_has_its_incident(app, run_jobs, failing):
    for kind in KINDS:
        failing(kind, ProviderRefused("no, for certain"))
        with transaction():
            job_id = enqueue(kind, payload_of(kind))
        with app.app_context():
            assert runner.run(job_id, "test"), kind
        db.session.rollback()
        assert db.session.get_one(Job, job_id).status == JobStatus.FAILED, kind
        [incident] = db.session.scalars(db.select(Incident).where(Incident.job_id == job_id))
        listed = FAILURES[JOB + kind]
        assert catalogue.key_of(incident.fingerprint) == listed.key
        assert incident.category in (listed.category, *listed.also), kind
        assert incident.severity in listed.severities, kind
        assert "no, for certain" in incident.error_message, kind


@pytest.mark.parametrize("error", [TryLater("HTTP 503"), OutcomeUnknown("no answer in time")])
@pytest.mark.parametrize("kind", sorted({row.kind for row in GIVE_UP}))
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_put_off_too_often_gives_up_after_its_last_try(app, run_jobs, failing, kind, error):
    failing(kind, error)
    with transaction():
        job_id = enqueue(kind, payload_of(kind))
        tries = HANDLERS[kind].policy.attempts
        db.session.get_one(Job, job_id).attempts = tries - 2
    run_jobs(limit=1)
    assert not db.session.scalars(db.select(Incident)).all()
    run_jobs(limit=1, ahead=8 * 3600)
    [incident] = db.session.scalars(db.select(Incident).where(Incident.job_id == job_id))
    assert catalogue.key_of(incident.fingerprint) == JOB + kind


def test_a_job_whose_consequences_fail_too_has_its_incident(app, run_jobs, failing, monkeypatch):
    failing("webhooks.process", ProviderRefused("no"))
    with transaction():
        job_id = enqueue("webhooks.process", {"nothing": "that it asks for"})
    run_jobs(limit=1)
    assert db.session.get_one(Job, job_id).status == JobStatus.FAILED
    [incident] = db.session.scalars(db.select(Incident))
    assert incident.fingerprint == "job:webhooks.process"


def test_a_job_of_no_known_kind_has_one_too(app, run_jobs, monkeypatch):
    with transaction():
        job_id = enqueue("orders.archive")
        db.session.get_one(Job, job_id).kind = "orders.of_an_older_version"
    run_jobs(limit=1)
    [incident] = db.session.scalars(db.select(Incident))
    assert incident.job_id == job_id


# The pages: what reliability.md and the providers' pages say of retries and giving up.


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_retry_table_is_kept(app):
    for row in GIVE_UP:
        policy = HANDLERS[row.kind].policy
        kept = (policy.attempts, policy.base, policy.cap)
        assert kept == (row.attempts, row.base, row.cap), row.kind
        assert policy.limit >= row.limit, row.kind
        assert row.severity in FAILURES[JOB + row.kind].severities, row.kind


def test_each_error_of_a_providers_page_leads_to_a_failure_that_is_listed():
    for row in PROVIDERS:
        assert set(row.keys) <= set(FAILURES), row
        assert row.keys or row.why, f"either {row} opens an incident, or the page says why none"


def test_every_providers_page_is_transcribed():
    assert {row.provider for row in PROVIDERS} >= {
        "shiprocket", "stripe", "razorpay", "paystack", "flutterwave", "swish", "twilio", "termii",
        "msg91", "wati", "interakt", "whatsapp-cloud", "email", "jira",
    }  # fmt: skip
    assert inspect.getdoc(type(PROVIDERS[0]))
