"""Jira Cloud, REST API v3: issues for things a person must look at.

Nothing repeats a create by itself: Jira has no idempotency key, and its search shows a new issue
only after seconds or minutes. Who calls decides, by `find`, whether to create once more.
"""

import base64
import hashlib
import re
from typing import Any

from shop import providers
from shop.config import settings
from shop.incidents.contact import outward, outward_context
from shop.incidents.trackers import adf
from shop.incidents.trackers.base import Filed, Ticket
from shop.providers import Answer, OutcomeUnknown, ProviderRefused

READ_SECONDS = 10
SUMMARY_LETTERS = 255
PRIORITIES = {"critical": "Highest", "high": "High", "medium": "Medium", "low": "Low"}
"""A new site's names. Where a project has others, the issue gets the project's default."""

GONE = 404


class Jira:
    """One project of the site that JIRA_URL names."""

    takes_comments = True
    settles_in = 60
    finds_within = 300

    def find(self, ticket: Ticket) -> Filed | None:
        """The newest open issue with the fault's label that no earlier incident of it had."""
        told = _call(
            "POST", "/search/jql",
            {
                "jql": f'project = "{settings().jira_project}" AND labels = "{label_of(ticket)}"'
                " AND statusCategory != Done ORDER BY created DESC",
                "maxResults": 5,
                "fields": ["summary", "status", "labels"],
            },
        )  # fmt: skip
        for issue in _object(told).get("issues", []):
            if issue.get("key") and issue["key"] not in ticket.earlier:
                return _filed(issue["key"])
        return None

    def file(self, ticket: Ticket) -> Filed:
        """Create the issue. Raises OutcomeUnknown when the answer does not name it."""
        wish = {"fields": fields_of(ticket), "properties": [_property(ticket)]}
        try:
            answer = _call("POST", "/issue", wish)
        except WithoutField as refusal:
            if refusal.field != "priority":
                raise
            wish["fields"] = {k: v for k, v in fields_of(ticket).items() if k != refusal.field}
            answer = _call("POST", "/issue", wish)
        key = _object(answer).get("key")
        if not key:
            raise OutcomeUnknown("Jira's answer names no issue")
        return _filed(key)

    def comment(self, key: str, ticket: Ticket) -> None:
        """How often it was seen by now, and how grave it is. An issue that somebody deleted stays so."""
        seen = f"{ticket.last_seen_at:%Y-%m-%d %H:%M} UTC" if ticket.last_seen_at else "now"
        words = f"Seen again at {seen} ({ticket.times} times so far). Severity: {ticket.severity}."
        _call(
            "POST", f"/issue/{key}/comment", {"body": adf.document(adf.paragraph(words))},
            may_be_gone=True,
        )  # fmt: skip

    def grade(self, key: str, ticket: Ticket) -> None:
        """Give it the severity's label and priority; without the latter where the project has none.

        The other severities' labels go, whichever it had. Saying it twice changes nothing. An issue
        that somebody deleted stays so.
        """
        others = [
            {"remove": _severity_label(other)} for other in PRIORITIES if other != ticket.severity
        ]
        wish: dict[str, Any] = {
            "fields": {"priority": {"name": PRIORITIES[ticket.severity]}},
            "update": {"labels": [*others, {"add": _severity_label(ticket.severity)}]},
        }
        try:
            _call("PUT", f"/issue/{key}", wish, may_be_gone=True)
        except WithoutField:
            _call("PUT", f"/issue/{key}", {"update": wish["update"]}, may_be_gone=True)

    def close(self, key: str, ticket: Ticket) -> None:
        """Move it to a status that counts as done, unless it is there; where none leads there, say so."""
        found = _call("GET", f"/issue/{key}?fields=status,labels", may_be_gone=True)
        if found.status == GONE or _is_done(_object(found).get("fields", {}).get("status")):
            return
        listed = _object(_call("GET", f"/issue/{key}/transitions")).get("transitions", [])
        ways = [way["id"] for way in listed if _is_done(way.get("to"))]
        words = f"Resolved in the shop. {outward(ticket.note)}".strip()
        if ways:
            _call("POST", f"/issue/{key}/transitions", {"transition": {"id": ways[0]}})
        else:
            words += " No transition leads to a status that counts as done: close it by hand."
        _call("POST", f"/issue/{key}/comment", {"body": adf.document(adf.paragraph(words))})


class WithoutField(ProviderRefused):
    """Jira refused one field; `field` names it."""

    def __init__(self, words: str, code: str, field: str) -> None:
        super().__init__(words, code)
        self.field = field


def label_of(ticket: Ticket) -> str:
    """The fault's label: the same for the same fault on the same thing of the same shop."""
    return f"shop-fp-{_fingerprint(ticket)}"


def _severity_label(severity: str) -> str:
    return f"shop-severity-{severity}"


def fields_of(ticket: Ticket) -> dict[str, Any]:
    """The issue's fields. Labels hold no blank, the summary is one line."""
    type_key = "id" if settings().jira_issue_type.isdigit() else "name"
    issue, number = outward(ticket.issue), ticket.order_id or ""
    summary = " ".join(f"[shop] {issue} {'' if number in issue else f'({number})'}".split())
    labels = (
        "shop-auto", label_of(ticket), _severity_label(ticket.severity),
        f"shop-{ticket.category}", f"shop-{ticket.environment}",
    )  # fmt: skip
    return {
        "project": {"key": settings().jira_project},
        "issuetype": {type_key: settings().jira_issue_type},
        "summary": summary[:SUMMARY_LETTERS],
        "description": _description(ticket),
        "labels": [re.sub(r"[^a-z0-9-]", "-", label.lower()) for label in labels],
        "priority": {"name": PRIORITIES[ticket.severity]},
    }


def _description(ticket: Ticket) -> dict[str, Any]:
    known = {
        key: value for key, value in outward_context(ticket.context).items() if value is not None
    }
    blocks = [
        adf.heading("What happened"),
        adf.paragraph(outward(ticket.issue)),
        adf.heading("What to do"),
        adf.paragraph(ticket.to_do or "Look at the incident in the shop."),
        adf.bullets(
            [
                adf.link("The incident in the shop", ticket.url),
                adf.fact("category", ticket.category),
                adf.fact("severity", ticket.severity),
                adf.fact("environment", ticket.environment),
                *(adf.fact(name, value) for name, value in known.items()),
            ]
        ),
    ]
    if ticket.earlier:
        blocks.append(adf.paragraph(f"The same fault had the ticket {ticket.earlier[0]} before."))
    for name, text in (("Error", ticket.error_message), ("Where it happened", ticket.error_stack)):
        if text:
            blocks += [adf.heading(name), adf.code(outward(text))]
    return adf.document(*blocks)


def _fingerprint(ticket: Ticket) -> str:
    return hashlib.sha256(ticket.fault.encode()).hexdigest()[:12]


def _property(ticket: Ticket) -> dict[str, Any]:
    return {"key": "shop.fingerprint", "value": {"fp": _fingerprint(ticket)}}


def _filed(key: str) -> Filed:
    return Filed(key, f"{settings().jira_url.rstrip('/')}/browse/{key}")


def _is_done(status: Any) -> bool:
    return bool(status) and status.get("statusCategory", {}).get("key") == "done"


def _call(method: str, path: str, body: Any = None, *, may_be_gone: bool = False) -> Answer:
    """One call. Raises ProviderRefused, in Jira's words, for what it refuses."""
    base = (settings().jira_api_base or settings().jira_url).rstrip("/")
    answer = providers.call(
        "jira", method, f"{base}/rest/api/3{path}", read_seconds=READ_SECONDS, json=body,
        headers={"Accept": "application/json", "Authorization": _basic()},
    )  # fmt: skip
    if answer.status < 300 or (may_be_gone and answer.status == GONE):
        return answer
    raise _refusal(answer)


def _basic() -> str:
    pair = f"{settings().jira_email}:{settings().jira_api_token}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _refusal(answer: Answer) -> ProviderRefused:
    code = str(answer.status)
    if answer.status in {401, 403}:
        return ProviderRefused(
            "Jira refused the log-in: the token may have ended, or has scopes and needs JIRA_API_BASE",
            code,
        )
    told = answer.json if isinstance(answer.json, dict) else {}
    by_field = told.get("errors") or {}
    words = "; ".join([*told.get("errorMessages", []), *map(str, by_field.values())])
    if list(by_field) == ["priority"]:
        return WithoutField(words, code, "priority")
    return ProviderRefused(words or f"HTTP {code}", code)


def _object(answer: Answer) -> dict[str, Any]:
    """The answer as an object. Raises OutcomeUnknown when it is none."""
    if not isinstance(answer.json, dict):
        raise OutcomeUnknown("Jira's answer is not JSON")
    return answer.json
