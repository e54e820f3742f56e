"""What each answer of a mail server, and each break, means to the job that sends."""

import logging

import pytest
from aiosmtpd.smtp import AuthResult

from shop.config import ConfigurationError, read_settings
from shop.messaging.channels import smtp
from shop.messaging.channels.base import Outgoing
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

MESSAGE = Outgoing(
    "asha@shopper.example",
    "<one@shop.example>",
    "Hello ₹1",
    ".a line with a dot\n..two\n",
    "<p>.dot</p>",
)


def send() -> str:
    return smtp.Smtp().send(MESSAGE)


def test_the_servers_id_is_kept(start_server):
    server = start_server()
    assert send() == "MAIL1"
    assert server.taken[0].mail_from == "orders@halflong.example"
    assert server.taken[0].rcpt_tos == ["asha@shopper.example"]
    assert b"\r\n.a line with a dot\r\n..two\r\n" in server.taken[0].content


@pytest.mark.parametrize(
    ("answer", "kind", "wait"),
    [
        ("450 4.2.0 greylisted", TryLater, 900),
        ("421 4.3.2 shutting down", TryLater, None),
        ("452 4.5.3 too many", TryLater, None),
        ("550 5.1.1 no such user", ProviderRefused, None),
    ],
)
def test_an_answer_to_the_recipient(start_server, answer, kind, wait):
    server = start_server()
    server.rcpt = [answer]
    with pytest.raises(kind) as caught:
        send()
    assert answer[:3] in str(caught.value)
    if kind is TryLater:
        assert caught.value.retry_after == wait
    assert server.taken == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("454 Throttling failure: Daily message quota exceeded", TryLater),
        ("451 try again", TryLater),
        ("554 Message rejected: Email address is not verified", ProviderRefused),
        ("552 too large", ProviderRefused),
    ],
)
def test_an_answer_to_the_message(start_server, answer, kind):
    server = start_server()
    server.data = [answer]
    with pytest.raises(kind):
        send()


def test_a_cut_after_the_final_dot_leaves_the_outcome_unknown(start_server):
    server = start_server()
    server.cut_after_message = True
    with pytest.raises(OutcomeUnknown):
        send()
    assert len(server.taken) == 1


def test_a_server_that_is_down_is_for_later(start_server):
    server = start_server()
    server.controller.stop()
    with pytest.raises(TryLater):
        send()


def test_a_server_that_says_nothing_is_given_up_in_time(silent_server, monkeypatch):
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.3)
    with pytest.raises(TryLater):
        send()


def test_the_whole_conversation_has_a_limit(start_server, monkeypatch):
    import asyncio

    server = start_server()

    async def slow(*_anything):
        await asyncio.sleep(3)
        return "250 ok"

    monkeypatch.setattr(server, "handle_RCPT", slow)
    monkeypatch.setattr(smtp, "CONVERSATION_SECONDS", 0.5)
    with pytest.raises(TryLater):
        send()
    assert server.taken == []


@pytest.mark.usefixtures("trusted")
def test_starttls_with_a_certificate_that_is_trusted(start_server, server_context):
    server = start_server(
        "smtp+starttls", host="localhost", tls_context=server_context, require_starttls=True
    )
    assert send() == "MAIL1"
    assert len(server.taken) == 1


@pytest.mark.usefixtures("trusted")
def test_tls_from_the_first_byte(start_server, server_context):
    server = start_server("smtps", host="localhost", ssl_context=server_context)
    assert send() == "MAIL1"
    assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("mode", "option"), [("smtps", "ssl_context"), ("smtp+starttls", "tls_context")]
)
def test_a_certificate_that_is_not_trusted_gets_no_mail(start_server, server_context, mode, option):
    server = start_server(mode, host="localhost", **{option: server_context})
    with pytest.raises(TryLater, match="certificate"):
        send()
    assert server.taken == []


def test_starttls_is_never_left_out(start_server):
    server = start_server("smtp+starttls")
    with pytest.raises(ProviderRefused, match="STARTTLS"):
        send()
    assert server.taken == []


def test_tls_on_a_plain_port_is_a_fault_of_the_setting(start_server):
    server = start_server("smtps")
    with pytest.raises(ProviderRefused, match="TLS"):
        send()
    assert server.taken == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("password", "is_right"), [("p%40ss", True), ("wrong", False)])
def test_the_sign_in(start_server, server_context, password, is_right, caplog):
    def judge(_server, _session, _envelope, _mechanism, auth):
        right = auth.login == b"shop@x" and auth.password == b"p@ss"
        return AuthResult(success=right, handled=False)

    caplog.set_level(logging.DEBUG)
    server = start_server(
        "smtp+starttls", host="localhost", login=f"shop%40x:{password}@",
        tls_context=server_context, require_starttls=True, authenticator=judge, auth_required=True,
    )  # fmt: skip
    if is_right:
        assert send() == "MAIL1"
        return
    with pytest.raises(ProviderRefused, match="535"):
        send()
    assert server.taken == []
    assert "wrong" not in caplog.text


@pytest.mark.parametrize("url", ["http://mail.example", "mail.example:25", "smtp://"])
def test_an_address_that_is_none_stops_the_start(app, configure, url):
    with pytest.raises(ConfigurationError, match="SMTP_URL"):
        read_settings({"SMTP_URL": url, "SECRET_KEY": "x" * 40})
    configure(smtp_url=url)
    with pytest.raises(ProviderRefused, match="SMTP_URL"):
        send()


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("2.0.0 Ok: queued as 4XyZ12", "4XyZ12"),
        ("Ok 0102018f-abc-000000", "0102018f-abc-000000"),
        ("2.0.0 OK  1700000000 x-2002 - gsmtp", "1700000000 x-2002 - gsmtp"),
        ("accepted", "accepted"),
        ("OK", ""),
    ],
)
def test_the_id_is_found_in_the_usual_answers(app, answer, kept):
    assert smtp._judged(250, answer.encode()) == kept
