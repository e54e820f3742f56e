"""The demo's mailbox shows what was sent, safely, and exists in development only."""

import re

import pytest

from tests import factories

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_a_message_is_found_read_and_seen_as_mail(app, client, tell, run_jobs, messages):
    order = factories.make_order(address={"recipient": "<script>alert(1)</script>"})
    tell("order_confirmed", order.id)
    run_jobs()
    [row] = messages("order_confirmed")

    listing = client.get("/sandbox/mailbox")
    assert row.subject in listing.text
    assert order.email in listing.text
    shown = client.get(f"/sandbox/mailbox/{row.id}")
    assert f"/orders/{order.token}" in shown.text
    assert "<script>alert" not in shown.text
    mail = client.get(f"/sandbox/mailbox/{row.id}/html")
    assert mail.text == row.body_html
    policy = mail.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in policy
    assert "'unsafe-inline'" not in listing.headers["Content-Security-Policy"]
    assert not re.search(r"\sstyle=", listing.text + shown.text)


def test_the_newest_stands_first_and_an_empty_box_says_so(app, client, tell, run_jobs):
    assert "Nothing yet" in client.get("/sandbox/mailbox").text
    order = factories.make_order()
    tell("order_confirmed", order.id)
    tell("admin_new_order", order.id)
    run_jobs()
    text = client.get("/sandbox/mailbox").text
    assert text.index("New order") < text.index("We have your order")


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(
    "path", ["/sandbox/mailbox", "/sandbox/mailbox/1", "/sandbox/mailbox/1/html"]
)
def test_outside_development_there_is_no_mailbox(app, client, configure, environment, path):
    configure(shop_env=environment)
    assert client.get(path).status_code == 404


def test_an_unknown_message_is_not_found(app, client):
    assert client.get("/sandbox/mailbox/999").status_code == 404
    assert client.get("/sandbox/mailbox/999/html").status_code == 404
