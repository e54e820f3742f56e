"""A stand-in for Jira Cloud, REST v3: issues, comments, transitions, and a search that lags.

Written from the notes on Jira and their samples. A new issue is missing from the search until
`lag` searches have been made, unless `reconcileIssues` names it, as the real search is only
eventually consistent. There is no idempotency key: each create that is carried out makes an issue.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from markupsafe import escape
from werkzeug import Request, Response

from tests.simulators.base import Fault, Simulator

EMAIL = "shop@halflong.example"
TOKEN = "jira-token-simulator"
PROJECT = "OPS"
#: A fresh project's ways: each leads to a status in one of the three categories.
TRANSITIONS = (
    ("11", "To Do", "new"), ("21", "In Progress", "indeterminate"), ("31", "Done", "done"),
)  # fmt: skip
BLOCKS = {
    "paragraph", "heading", "bulletList", "orderedList", "listItem", "codeBlock", "rule", "panel",
}  # fmt: skip
INLINE = {"text", "hardBreak"}
MARKS = {"strong", "em", "code", "link"}
MOST_LETTERS = 32_767


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, *messages: str, **fields: str) -> None:
        super().__init__(status)
        self.status = status
        self.body: dict[str, Any] = {"errorMessages": list(messages), "errors": fields}


class Jira(Simulator):
    """One site with one project."""

    def __init__(self, port: int = 0) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, list[dict[str, Any]]] = {}
        #: How many searches a new issue is missing from.
        self.lag = 1
        self._unseen: dict[str, int] = {}
        self.priorities = ("Highest", "High", "Medium", "Low", "Lowest")
        #: False: the project's screen has no field for the priority.
        self.takes_priority = True
        self.transitions = TRANSITIONS
        self.token = TOKEN
        self._last = 10_230
        self._number = 416
        super().__init__(port)

    # --- the API ----------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """A person's page, or authenticate and route."""
        if request.path == "/" or request.path.startswith("/browse/"):
            return self._page(request.path.removeprefix("/browse/"))
        if request.headers.get("Authorization") != _basic(EMAIL, self.token):
            words = "Client must be authenticated to access this resource."
            return _answer(401, {"message": words, "status-code": 401})
        try:
            with self.lock:
                status, body = self._route(request)
        except Refusal as refusal:
            return _answer(refusal.status, refusal.body)
        return _answer(status, body)

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Jira's shape."""
        response = _answer(fault.status, {"errorMessages": ["Simulated."], "errors": {}})
        response.headers.update(fault.headers)
        return response

    def _route(self, request: Request) -> tuple[int, Any]:
        sent = _parsed(request)
        key = r"/rest/api/3/issue/([A-Z0-9]+-[0-9]+|[0-9]+)"
        routes: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
            ("POST", r"/rest/api/3/issue", self._create),
            ("GET", key, self._read),
            ("PUT", key, self._edit),
            ("POST", f"{key}/comment", self._comment),
            ("GET", f"{key}/transitions", self._list_transitions),
            ("POST", f"{key}/transitions", self._move),
            ("POST", r"/rest/api/3/search/jql", self._search),
            ("GET", r"/rest/api/3/myself", lambda sent: (200, {"emailAddress": EMAIL})),
        ]
        for method, pattern, act in routes:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return act(sent, *found.groups())
        if request.path == "/rest/api/3/search":
            raise Refusal(410, "The requested API has been removed. Please migrate.")
        raise Refusal(404, "No such resource.")

    def _create(self, sent: dict[str, Any]) -> tuple[int, Any]:
        fields = sent.get("fields", {})
        self._check(fields)
        self._last, self._number = self._last + 1, self._number + 1
        number, key = str(self._last), f"{PROJECT}-{self._number}"
        self.issues[key] = {
            "id": number, "key": key, "self": f"{self.url}/rest/api/3/issue/{number}",
            "fields": {**fields, "status": _status(*self.transitions[0][1:])},
            "properties": sent.get("properties", []),
        }  # fmt: skip
        self._unseen[key] = self.lag
        return 201, {name: self.issues[key][name] for name in ("id", "key", "self")}

    def _check(self, fields: dict[str, Any]) -> None:
        if fields.get("project", {}).get("key") != PROJECT:
            raise Refusal(400, project="valid project is required")
        if not fields.get("issuetype"):
            raise Refusal(400, issuetype="Specify an issue type")
        summary = fields.get("summary", "")
        if not summary or "\n" in summary or len(summary) > 255:
            raise Refusal(400, summary="The summary must be one line of at most 255 characters.")
        check_adf(fields.get("description"), "description")
        for label in fields.get("labels", []):
            if " " in label:
                raise Refusal(400, labels=f"The label '{label}' contains spaces which is invalid.")
        if any(not isinstance(one, dict) for one in fields.get("components", [])):
            raise Refusal(400, components="expected an object")
        if "priority" in fields:
            self._check_priority(fields["priority"])

    def _check_priority(self, priority: dict[str, str]) -> None:
        if not self.takes_priority:
            words = (
                "Field 'priority' cannot be set. It is not on the appropriate screen, or unknown."
            )
            raise Refusal(400, priority=words)
        if priority.get("name") not in self.priorities:
            raise Refusal(400, priority="Specify a valid value for priority")

    def _read(self, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        issue = self._issue(key)
        return 200, {name: issue[name] for name in ("id", "key", "self", "fields")}

    def _edit(self, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        """Fields that are set, and labels that are added and removed."""
        fields = self._issue(key)["fields"]
        changed = sent.get("fields", {})
        if "priority" in changed:
            self._check_priority(changed["priority"])
        labels = list(fields["labels"])
        for one in sent.get("update", {}).get("labels", []):
            for act, label in one.items():
                labels = [held for held in labels if held != label]
                labels += [label] if act == "add" else []
        fields.update({**changed, "labels": labels})
        return 204, None

    def _comment(self, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        issue = self._issue(key)
        check_adf(sent.get("body"), "comment")
        self.comments.setdefault(issue["key"], []).append(sent["body"])
        return 201, {"id": str(20_000 + sum(map(len, self.comments.values())))}

    def _list_transitions(self, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        self._issue(key)
        return 200, {
            "transitions": [
                {"id": number, "name": name, "to": _status(name, category)}
                for number, name, category in self.transitions
            ]
        }

    def _move(self, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        issue = self._issue(key)
        wanted = sent.get("transition", {}).get("id")
        for number, name, category in self.transitions:
            if number == wanted:
                issue["fields"]["status"] = _status(name, category)
                return 204, None
        raise Refusal(400, f"Transition id '{wanted}' is not valid for this issue.")

    def _search(self, sent: dict[str, Any]) -> tuple[int, Any]:
        """Of JQL as much as the notes show: project, one label, not done, newest first."""
        jql = sent.get("jql", "")
        label = re.search(r'labels = "([^"]+)"', jql)
        if f'project = "{PROJECT}"' not in jql or not label:
            raise Refusal(400, "Unbounded JQL queries are not allowed here.")
        fresh = {str(number) for number in sent.get("reconcileIssues", [])[:50]}
        open_only = "statusCategory != Done" in jql
        found = [
            issue
            for key, issue in reversed(self.issues.items())
            if label[1] in issue["fields"]["labels"]
            and not (open_only and category_of(issue) == "done")
            and (self._unseen[key] <= 0 or issue["id"] in fresh)
        ]
        for key in self._unseen:
            self._unseen[key] -= 1
        shown = [_shown(issue, sent.get("fields")) for issue in found[: sent.get("maxResults", 50)]]
        return 200, {"isLast": True, "issues": shown}

    def _issue(self, key: str) -> dict[str, Any]:
        for issue in self.issues.values():
            if key in {issue["key"], issue["id"]}:
                return issue
        raise Refusal(404, "Issue does not exist or you do not have permission to see it.")

    # --- what a person sees -----------------------------------------------------------------

    def _page(self, key: str) -> Response:
        """All issues, or one with its comments; read only."""
        issue = self.issues.get(key)
        if issue is None:
            rows = [
                f'<li><a href="/browse/{escape(one["key"])}">{escape(one["key"])}</a> '
                f"{escape(one['fields']['status']['name'])}: {escape(one['fields']['summary'])}</li>"
                for one in reversed(self.issues.values())
            ]
            body = f"<h1>{PROJECT}</h1><ul>{''.join(rows) or '<li>No issue yet</li>'}</ul>"
        else:
            fields = issue["fields"]
            texts = [fields["description"], *self.comments.get(key, [])]
            shown = "".join(f"<hr><pre>{escape(text_of(text))}</pre>" for text in texts)
            labels = escape(", ".join(fields["labels"]))
            body = (
                f"<h1>{escape(key)}: {escape(fields['summary'])}</h1>"
                f"<p>{escape(fields['status']['name'])}, {labels}</p>{shown}"
            )
        return Response(f"<!doctype html><title>Jira</title>{body}", mimetype="text/html")

    # --- the other side ---------------------------------------------------------------------

    def delete(self, key: str) -> None:
        """A person deletes an issue."""
        del self.issues[key]

    def finish(self, key: str) -> None:
        """A person moves an issue to Done."""
        self.issues[key]["fields"]["status"] = _status("Done", "done")


def check_adf(node: Any, field: str) -> None:
    """Refuse what is no Atlassian document: a string, an empty text, an unknown node, too many letters."""
    words = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
    if not isinstance(node, dict) or node.get("type") != "doc" or node.get("version") != 1:
        raise Refusal(400, **{field: words})
    if len(json.dumps(node)) > MOST_LETTERS * 2 or letters_of(node) > MOST_LETTERS:
        raise Refusal(400, **{field: "The entered text is too long."})
    for inner in node.get("content", []):
        if not _is_valid(inner):
            raise Refusal(400, **{field: words})


def _is_valid(node: dict[str, Any]) -> bool:
    if node.get("type") in INLINE:
        marks = {mark["type"] for mark in node.get("marks", [])}
        return (node["type"] != "text" or bool(node.get("text"))) and marks <= MARKS
    return node.get("type") in BLOCKS and all(_is_valid(one) for one in node.get("content", []))


def letters_of(node: dict[str, Any]) -> int:
    """How many letters of text a document holds."""
    return len(node.get("text", "")) + sum(letters_of(one) for one in node.get("content", []))


def text_of(node: dict[str, Any]) -> str:
    """All its text, a line for each block."""
    if node.get("type") == "text":
        return str(node["text"])
    inner = [text_of(one) for one in node.get("content", [])]
    return ("" if node.get("type") in {"paragraph", "heading", "codeBlock"} else "\n").join(inner)


def category_of(issue: dict[str, Any]) -> str:
    """The key of its status's category: "new", "indeterminate" or "done"."""
    return str(issue["fields"]["status"]["statusCategory"]["key"])


def _status(name: str, category: str) -> dict[str, Any]:
    return {"name": name, "statusCategory": {"key": category}}


def _shown(issue: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    if not fields:
        return {"id": issue["id"]}
    shown = {name: issue["fields"].get(name) for name in fields}
    return {"id": issue["id"], "key": issue["key"], "self": issue["self"], "fields": shown}


def _basic(email: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{email}:{token}".encode()).decode()


def _parsed(request: Request) -> dict[str, Any]:
    body = request.get_data()
    if not body:
        return {}
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise Refusal(400, "The request body is not JSON.") from error
    return parsed if isinstance(parsed, dict) else {}


def _answer(status: int, body: Any) -> Response:
    if body is None:
        return Response(status=status)
    return Response(json.dumps(body), status, mimetype="application/json")
