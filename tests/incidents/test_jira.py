"""One incident is one issue in Jira, whatever becomes of answers; repeats and the end are told there."""

import json
import re
from pathlib import Path

import pytest
import requests

from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.incidents import handling
from shop.incidents.models import Incident, Severity, TicketState
from shop.incidents.trackers import jira as tracker
from shop.incidents.trackers import ticket_of
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.providers import ProviderRefused
from tests import factories
from tests.simulators.jira import _answer as simulated
from tests.simulators.jira import category_of, check_adf, text_of

CREATE = {"method": "POST", "path": "/rest/api/3/issue"}


def only(jira):
    [issue] = jira.issues.values()
    return issue


def creates(jira) -> int:
    return sum(path == "/rest/api/3/issue" for _method, path, _sent in jira.requests)


def test_the_issue_says_all_that_a_person_needs(jira, opened, run_jobs):
    order = factories.make_order(lines=1)
    number = order.number
    incident = opened(
        "refund_failed:7", "A refund failed\nfor certain", severity=Severity.CRITICAL,
        error="E17: account closed", stack="Traceback …", order_id=order.id,
    )  # fmt: skip
    run_jobs()
    issue = only(jira)
    fields = issue["fields"]
    assert fields["summary"] == f"[shop] A refund failed for certain ({number})"
    assert fields["priority"] == {"name": "Highest"}
    assert set(fields["labels"]) >= {"shop-auto", "shop-severity-critical", "shop-delivery"}
    assert sum(label.startswith("shop-fp-") for label in fields["labels"]) == 1
    text = text_of(fields["description"])
    for words in (
        "A refund failed", "Refund another way", "E17: account closed", "Traceback", number,
        "The incident in the shop",
    ):  # fmt: skip
        assert words in text
    assert f"/admin/incidents/{incident.id}" in json.dumps(fields["description"])
    db.session.refresh(incident)
    assert incident.tracker_key == issue["key"]
    assert incident.tracker_url == f"{jira.url}/browse/{issue['key']}"


@pytest.mark.parametrize(
    ("severity", "priority"), [("critical", "Highest"), ("high", "High"), ("medium", "Medium"), ("low", "Low")]
)  # fmt: skip
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_priority_and_label_follow_the_severity(jira, opened, run_jobs, severity, priority):
    opened(severity=Severity(severity))
    run_jobs()
    assert only(jira)["fields"]["priority"]["name"] == priority
    assert f"shop-severity-{severity}" in only(jira)["fields"]["labels"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_project_without_priorities_gets_the_issue_without_one(jira, opened, run_jobs):
    jira.takes_priority = False
    opened()
    run_jobs()
    assert "priority" not in only(jira)["fields"]


@pytest.mark.parametrize(
    ("setting", "email", "phone"),
    [("masked", "a…@e….com", "…210"), ("none", "", ""), ("full", "asha@example.com", "+919876543210")],
)  # fmt: skip
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_contact_data_leaves_as_the_setting_says(
    jira, opened, run_jobs, configure, setting, email, phone
):
    configure(ticket_contact_data=setting)
    opened(
        issue="No answer from asha@example.com", error="asha@example.com +919876543210 refused",
        customerEmail="asha@example.com", customerPhone="+919876543210",
    )  # fmt: skip
    run_jobs()
    sent = json.dumps(only(jira)["fields"], ensure_ascii=False)
    assert ("customerEmail" in sent) == bool(email)
    if setting != "full":
        assert "asha@example.com" not in sent
        assert "9876543210" not in sent
    assert email in sent
    assert phone in sent


@pytest.mark.parametrize("kind", ["fail_after", "half_body", "garbage"])
def test_a_create_whose_answer_is_lost_is_found_again_although_the_search_lags(
    jira, opened, run_jobs, kind
):
    jira.lag = 1
    jira.fault(kind, **CREATE)
    incident = opened()
    for minutes in (0, 2, 5, 12):
        run_jobs(ahead=minutes * 60)
    db.session.refresh(incident)
    assert len(jira.issues) == creates(jira) == 1
    assert incident.tracker_key == only(jira)["key"]
    assert incident.ticket_state == TicketState.OPEN


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_after_a_time_out_nothing_is_asked_for_a_minute(jira, opened, run_jobs, monkeypatch):
    monkeypatch.setattr(tracker, "READ_SECONDS", 0.2)
    jira.fault("hang_after", **CREATE)
    opened()
    run_jobs()
    run_jobs(ahead=40)
    assert len(jira.requests) == 1


def test_a_create_that_was_lost_on_the_way_is_made_once_more_in_the_end(jira, opened, run_jobs):
    jira.fault("refuse", status=500, **CREATE)
    opened()
    for minutes in (0, 2, 5, 12, 25):
        run_jobs(ahead=minutes * 60)
    assert len(jira.issues) == 1
    assert creates(jira) == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("status", [429, 503])
def test_what_jira_puts_off_is_done_later_without_a_search(jira, opened, run_jobs, status):
    jira.fault("refuse", status=status, headers={"Retry-After": "90"}, **CREATE)
    opened()
    run_jobs()
    run_jobs(ahead=80)
    assert not jira.issues
    run_jobs(ahead=100)
    assert len(jira.issues) == 1
    assert not jira.seen("POST", "/rest/api/3/search")


def test_repeats_are_a_comment_at_most_once_an_hour(jira, opened, run_jobs, turn_clock):
    opened()
    run_jobs()
    key = only(jira)["key"]
    for _ in range(3):
        opened()
        run_jobs()
    assert key not in jira.comments
    run_jobs(ahead=3700)
    [comment] = jira.comments[key]
    assert "(4 times so far)" in text_of(comment)
    turn_clock(hours=1, minutes=5)
    opened()
    run_jobs()
    assert len(jira.comments[key]) == 1
    run_jobs(ahead=3700)
    assert len(jira.comments[key]) == 2
    assert len(jira.issues) == 1


def test_what_got_graver_is_told_at_once(jira, opened, run_jobs):
    opened(severity=Severity.MEDIUM)
    run_jobs()
    opened(severity=Severity.CRITICAL)
    run_jobs()
    [comment] = jira.comments[only(jira)["key"]]
    assert "Severity: critical" in text_of(comment)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("takes_priority", [True, False])
def test_what_got_graver_gets_its_priority_and_label(jira, opened, run_jobs, takes_priority):
    jira.takes_priority = takes_priority
    opened(severity=Severity.MEDIUM)
    run_jobs()
    # Its answer is lost: it is said again, which changes nothing.
    jira.fault("fail_after", method="PUT")
    opened(severity=Severity.CRITICAL)
    run_jobs()
    run_jobs(ahead=120)
    fields = only(jira)["fields"]
    severities = [label for label in fields["labels"] if label.startswith("shop-severity-")]
    assert severities == ["shop-severity-critical"]
    assert fields.get("priority") == ({"name": "Highest"} if takes_priority else None)
    assert len(jira.comments[only(jira)["key"]]) == 1


@pytest.mark.forces("ticket_refused")
def test_a_ticket_that_is_never_taken_is_told_of_once_and_keeps_no_other_back(
    jira, opened, run_jobs, turn_clock, monkeypatch
):
    taken = tracker.fields_of

    def untaken(ticket):
        fields = taken(ticket)
        return {**fields, "labels": ["with blank"]} if ticket.issue == "Odd" else fields

    monkeypatch.setattr(tracker, "fields_of", untaken)
    odd = opened("odd:1", "Odd").id
    opened("x:1")
    for _ in range(3):
        run_jobs()
        turn_clock(hours=1)
        with transaction():
            enqueue("incidents.sweep")
    run_jobs()
    states = {
        fault: (state, status, repeats)
        for fault, state, status, repeats in db.session.execute(
            db.select(
                Incident.fingerprint, Incident.ticket_state, Incident.status, Incident.repeats
            )
        )
    }
    assert states == {
        "odd:1": (TicketState.REFUSED, "open", 0),
        "x:1": (TicketState.OPEN, "open", 0),
        f"ticket_refused:{odd}": (TicketState.OPEN, "open", 0),
    }
    assert creates(jira) == 3, "the odd one, the other, and that the odd one was refused"
    monkeypatch.undo()
    turn_clock(hours=25)
    with transaction():
        enqueue("incidents.sweep")
    run_jobs()
    db.session.expire_all()
    assert db.session.get_one(Incident, odd).ticket_state == TicketState.OPEN
    refusal = db.session.scalars(db.select(Incident).filter_by(fingerprint=f"ticket_refused:{odd}"))
    assert refusal.one().status == "resolved"


def test_that_its_own_ticket_goes_through_does_not_hide_that_others_do_not(jira, opened, run_jobs):
    opened("job:incidents.ticket", "The job incidents.ticket gave up")
    run_jobs()
    incident = db.session.scalars(db.select(Incident)).one()
    assert (incident.status, incident.ticket_state) == ("open", TicketState.OPEN)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["fail_after", "half_body", "garbage"])
def test_a_comment_whose_answer_is_lost_is_not_made_twice(jira, opened, run_jobs, kind):
    opened(severity=Severity.MEDIUM)
    run_jobs()
    jira.fault(kind, path="/rest/api/3/issue/")
    opened(severity=Severity.CRITICAL)
    for minutes in (0, 2, 5):
        run_jobs(ahead=minutes * 60)
    assert len(jira.comments[only(jira)["key"]]) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_comment_that_was_put_off_comes_later(jira, opened, run_jobs):
    opened(severity=Severity.MEDIUM)
    run_jobs()
    jira.fault("refuse", status=503, path="/rest/api/3/issue/")
    opened(severity=Severity.CRITICAL)
    run_jobs()
    assert not jira.comments
    run_jobs(ahead=120)
    assert len(jira.comments[only(jira)["key"]]) == 1


def test_resolving_moves_the_issue_to_done_with_the_note(jira, opened, run_jobs):
    incident = opened()
    run_jobs()
    with transaction():
        handling.resolve(incident.id, "user:1", "Sent again by hand. Asked asha@example.com.")
    run_jobs()
    assert category_of(only(jira)) == "done"
    [comment] = jira.comments[only(jira)["key"]]
    assert "Sent again by hand." in text_of(comment)
    assert "asha@" not in text_of(comment)
    db.session.refresh(incident)
    assert incident.ticket_state == TicketState.CLOSED


def test_what_a_person_closed_or_deleted_in_jira_is_left_alone(jira, opened, run_jobs):
    first, second = opened("x:1"), opened("x:2")
    run_jobs()
    jira.finish(first.tracker_key)
    jira.delete(second.tracker_key)
    with transaction():
        handling.resolve(first.id, "user:1")
        handling.resolve(second.id, "user:1")
    run_jobs()
    assert not jira.comments
    assert not db.session.scalars(db.select(Job).filter_by(status=JobStatus.FAILED)).all()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_workflow_without_a_way_to_done_gets_a_comment(jira, opened, run_jobs):
    jira.transitions = jira.transitions[:2]
    incident = opened()
    run_jobs()
    with transaction():
        handling.resolve(incident.id, "user:1")
    run_jobs()
    assert "close it by hand" in text_of(jira.comments[only(jira)["key"]][0])


def test_the_same_fault_after_its_end_is_a_new_issue_that_names_the_old_one(jira, opened, run_jobs):
    incident = opened()
    run_jobs()
    with transaction():
        handling.resolve(incident.id, "user:1")
    jira.fault("refuse", method="GET", path="/rest/api/3/issue", status=503, times=9)
    jira.fault("fail_after", **CREATE)
    jira.lag = 0
    opened()
    for minutes in (0, 3, 12):
        run_jobs(ahead=minutes * 60)
    old, new = jira.issues.values()
    assert old["key"] in text_of(new["fields"]["description"])
    assert opened().tracker_key == new["key"], "the old issue, still open there, was taken for it"


def test_while_jira_is_down_incidents_stay_here_and_follow_when_it_is_back(
    jira, opened, run_jobs, turn_clock
):
    jira.token = "rolled"
    for number in range(4):
        opened(f"x:{number}")
    run_jobs()
    incidents = db.session.scalars(db.select(Incident).order_by(Incident.id)).all()
    assert [one.tracker_key for one in incidents] == [None] * 5
    assert incidents[-1].fingerprint == "job:incidents.ticket"
    assert "log-in" in incidents[-1].error_message
    jira.token = "jira-token-simulator"
    turn_clock(hours=1)
    with transaction():
        enqueue("incidents.sweep")
    run_jobs()
    db.session.expire_all()
    assert all(one.tracker_key for one in incidents)
    assert incidents[-1].status == "resolved", "the tracker works again"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_long_error_is_cut_to_what_jira_takes(jira, opened, run_jobs):
    opened(error="x" * 50_000, stack="y" * 50_000, note="₹" * 9_000)
    run_jobs()
    assert only(jira)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_markup_of_people_is_text_in_the_issue(jira, opened, run_jobs):
    opened(issue="<img src=x onerror=alert(1)> {code} [x|javascript:1]")
    run_jobs()
    text = text_of(only(jira)["fields"]["description"])
    assert "<img src=x onerror=alert(1)> {code} [x|javascript:1]" in text
    links = re.findall(r'"href": "([^"]*)"', json.dumps(only(jira)["fields"]["description"]))
    assert [link.partition("/admin")[0] for link in links] == [settings().public_url]


# The samples of the notes.

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str):
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_asked_for_has_the_shape_of_the_sample(jira, opened, run_jobs):
    opened()
    run_jobs()
    sent = json.loads(jira.seen("POST", "/rest/api/3/issue")[0]["body"])
    expected = sample("create_issue_request")
    assert set(expected["fields"]) <= set(sent["fields"])
    assert set(sent) == set(expected)
    assert sent["properties"][0]["key"] == expected["properties"][0]["key"]
    fp = sent["properties"][0]["value"]["fp"]
    assert f"shop-fp-{fp}" in sent["fields"]["labels"]
    assert len(fp) == len(expected["properties"][0]["value"]["fp"])
    check_adf(expected["fields"]["description"], "description")
    check_adf(sample("add_comment_request")["body"], "comment")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_searched_for_has_the_shape_of_the_sample(jira, opened):
    tracker.Jira().find(ticket_of(opened()))
    sent = json.loads(jira.seen("POST", "/rest/api/3/search/jql")[0]["body"])
    expected = sample("search_request")
    assert set(sent) == set(expected) - {"reconcileIssues"}
    assert sent["fields"] == expected["fields"]
    fp = sent["jql"].split("shop-fp-")[1][:12]
    assert sent["jql"] == expected["jql"].replace("3f9a1c7e5b20", fp)


@pytest.fixture
def answering(jira, monkeypatch):
    """`answering(201, "create_issue_success_201")` lets Jira say what a sample says."""

    def say(status: int, name: str) -> None:
        monkeypatch.setattr(jira, "handle", lambda _request: simulated(status, sample(name)))

    return say


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_samples_of_answers_are_read(answering, opened):
    ticket = ticket_of(opened())
    answering(201, "create_issue_success_201")
    assert tracker.Jira().file(ticket).key == "OPS-417"
    answering(200, "search_success")
    assert tracker.Jira().find(ticket).key == "OPS-417"
    answering(200, "search_empty")
    assert tracker.Jira().find(ticket) is None


@pytest.mark.parametrize(
    ("status", "name", "words"),
    [
        (400, "create_issue_failure_400_description", "Atlassian Document"),
        (400, "create_issue_failure_400_labels", "contains spaces"),
        (401, "failure_401", "log-in"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_samples_of_refusals_are_final(answering, opened, status, name, words):
    answering(status, name)
    with pytest.raises(ProviderRefused, match=words):
        tracker.Jira().file(ticket_of(opened()))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_stand_in_refuses_what_the_samples_show_refused(jira):
    wish = sample("create_issue_request")
    login = ("shop@halflong.example", "jira-token-simulator")
    url = f"{jira.url}/rest/api/3/issue"
    assert requests.post(url, json=wish, auth=login, timeout=5).status_code == 201
    text = {**wish, "fields": {**wish["fields"], "description": "a text"}}
    answer = requests.post(url, json=text, auth=login, timeout=5)
    assert (answer.status_code, answer.json()) == (400, sample("create_issue_failure_400_description"))  # fmt: skip
    blank = {**wish, "fields": {**wish["fields"], "labels": ["shop auto"]}}
    answer = requests.post(url, json=blank, auth=login, timeout=5)
    assert answer.json() == sample("create_issue_failure_400_labels")
    answer = requests.post(url, json=wish, timeout=5)
    assert (answer.status_code, answer.json()) == (401, sample("failure_401"))
    assert requests.get(f"{jira.url}/rest/api/3/search", auth=login, timeout=5).status_code == 410
