"""Every sample of the providers' pages: what we send looks like theirs, what they say is read as they mean it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import pytest

from shop.messaging.channels.base import ChannelBroken, Outgoing, ReceiptStatus, Unreachable
from shop.providers import OutcomeUnknown, TryLater, reset_lines
from tests.messaging.ways import BY_ID, SAMPLES, Scene, receipts, sample, settings_of
from tests.simulators.scripted import Scripted

FORM = "application/x-www-form-urlencoded; charset=UTF-8"


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.stop()


@pytest.fixture
def scene(request, scripted) -> Iterator[Scene]:
    way = BY_ID[request.param]
    scripted.requests.clear()
    reset_lines()
    with settings_of(**{**way.settings(scripted), "messages_dry_run": False}) as app:
        yield Scene(way, scripted, app)
    reset_lines()


def of(way: str):
    return pytest.mark.parametrize("scene", [way], indirect=True)


def say(scene: Scene, status: int, body: dict) -> None:
    scene.stand_in.status, scene.stand_in.body = status, body


# --- what we send -----------------------------------------------------------------------------

SHIPPED = Outgoing(
    recipient="+919876543210", message_id="msg-7f3c", template="order_shipped",
    parameters=(("name", "Asha"), ("order", "SHOP-1042"), ("courier", "Delhivery Surface")),
)  # fmt: skip
TWO = replace(SHIPPED, parameters=SHIPPED.parameters[:2])


def sent_by(scene: Scene, message: Outgoing, status: int, answer: str) -> dict:
    """The body that a message makes, by JSON or form."""
    say(scene, status, sample(answer))
    scene.channel.send(message)
    ((_method, _path, told),) = scene.stand_in.requests
    raw = told["body"]
    if told["headers"]["Content-Type"].startswith("application/x-www-form"):
        return dict(parse_qsl(raw.decode(), keep_blank_values=True))
    return json.loads(raw)


def without_buttons(template: dict) -> dict:
    """The samples' templates have a button; ours have their links in the text."""
    return {name: value for name, value in template.items() if name not in {"buttonValues", "headerValues"}}  # fmt: skip


@of("sms-twilio")
def test_a_text_by_twilio(scene):
    wish = sample("twilio/sms_request.json")
    scene.set(twilio_messaging_service_sid=wish["MessagingServiceSid"])
    message = replace(SHIPPED, text=wish["Body"])
    made = sent_by(scene, message, 201, "twilio/sms_success_201.json")
    assert {made[name] for name in ("To", "MessagingServiceSid", "Body")} == {
        wish[name] for name in ("To", "MessagingServiceSid", "Body")
    }
    assert made["StatusCallback"] == "https://shop.example.com/webhooks/messages/twilio?m=msg-7f3c"
    assert "From" not in made


@of("whatsapp-twilio")
def test_a_template_by_twilio(scene):
    wish = sample("twilio/whatsapp_template_request.json")
    scene.set(twilio_templates=(f"order_shipped={wish['ContentSid']}",))
    made = sent_by(scene, SHIPPED, 201, "twilio/whatsapp_success_201.json")
    for name in ("To", "From", "ContentSid"):
        assert made[name] == wish[name]
    assert json.loads(made["ContentVariables"]) == json.loads(wish["ContentVariables"])
    assert not {"Body", "MediaUrl"} & set(made)


@of("sms-termii")
def test_a_text_by_termii(scene):
    wish = sample("termii/send_request.json")
    message = Outgoing(recipient=f"+{wish['to']}", message_id="1", text=wish["sms"])
    assert sent_by(scene, message, 200, "termii/send_success.json") == wish


@of("whatsapp-msg91")
def test_a_template_by_msg91(scene):
    wish = sample("msg91/whatsapp_bulk_request.json")
    scene.set(msg91_namespace=wish["payload"]["template"]["namespace"])
    del wish["payload"]["template"]["to_and_components"][0]["components"]["button_1"]
    assert sent_by(scene, SHIPPED, 200, "msg91/whatsapp_bulk_success.json") == wish


@of("whatsapp-wati")
def test_a_template_by_wati(scene):
    wish = sample("wati/send_template_request.json")
    assert sent_by(scene, TWO, 200, "wati/send_template_success.json") == wish["body"]


@of("whatsapp-interakt")
def test_a_template_by_interakt(scene):
    wish = sample("interakt/send_template_request.json")
    made = sent_by(scene, SHIPPED, 201, "interakt/send_template_success.json")
    assert made == {**wish, "template": without_buttons(wish["template"])}
    (_method, path, told) = scene.stand_in.requests[0]
    # A redirect would lose the body.
    assert path == "/v1/public/message/"
    assert (
        told["headers"]["Authorization"]
        == f"Basic {scene.app.extensions['settings'].interakt_api_key}"
    )


@of("whatsapp-cloud")
def test_a_template_by_the_cloud(scene):
    wish = sample("whatsapp-cloud/send_template_request.json")
    del wish["template"]["components"][1]
    assert sent_by(scene, TWO, 200, "whatsapp-cloud/send_success.json") == wish


# --- what they answer -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "status", "answer", "provider_id"),
    [
        ("sms-twilio", 201, "twilio/sms_success_201.json", "SM00000000000000000000000000000001"),
        ("whatsapp-twilio", 201, "twilio/whatsapp_success_201.json", "MM00000000000000000000000000000002"),
        ("sms-termii", 200, "termii/send_success.json", "9122821270554876574"),
        ("whatsapp-msg91", 200, "msg91/whatsapp_bulk_success.json", "b5c1f0c2a9d84e0a8b7711aa22bb33cc"),
        ("whatsapp-wati", 200, "wati/send_template_success.json", "d38f0c3a-e833-4725-a894-invented0001"),
        ("whatsapp-interakt", 201, "interakt/send_template_success.json", "0d5f6a1c-7b2e-4c52-9a51-invented0001"),
        ("whatsapp-cloud", 200, "whatsapp-cloud/send_success.json", "wamid.HBgMOTE5ODc2NTQzMjEwFQIAERgSInvented01"),
        # A person with a username: the number is not there.
        ("whatsapp-cloud", 200, "whatsapp-cloud/send_success_username_user.json", "wamid.HBgMOTE5ODc2NTQzMjEwFQIAERgSInvented05"),
    ],
    indirect=["scene"],
)  # fmt: skip
def test_success_gives_the_providers_id(scene, status, answer, provider_id):
    scene.set(twilio_templates=("order_shipped=HX1",))
    say(scene, status, sample(answer))
    assert scene.channel.send(replace(SHIPPED, text="Shipped")) == provider_id


@pytest.mark.parametrize(
    ("scene", "status", "answer", "kind", "code"),
    [
        ("sms-twilio", 400, "twilio/failure_400_21211.json", Unreachable, "21211"),
        ("sms-twilio", 400, "twilio/failure_400_21610.json", Unreachable, "21610"),
        ("sms-twilio", 401, "twilio/failure_401_20003.json", ChannelBroken, "401"),
        ("sms-twilio", 429, "twilio/failure_429_20429.json", TryLater, "429"),
        ("sms-termii", 401, "termii/failure_401.json", ChannelBroken, "401"),
        ("sms-termii", 400, "termii/failure_route.json", ChannelBroken, "400"),
        ("sms-termii", 200, "termii/failure_route.json", ChannelBroken, "200"),
        ("sms-termii", 400, "termii/send_failure_400.json", ChannelBroken, "400"),
        ("whatsapp-msg91", 418, "msg91/failure_418_ip.json", ChannelBroken, "418"),
        ("whatsapp-msg91", 200, "msg91/failure_418_ip.json", ChannelBroken, "418"),
        ("whatsapp-msg91", 200, "msg91/whatsapp_bulk_failure_200.json", ChannelBroken, "400"),
        ("whatsapp-msg91", 200, "msg91/sms_flow_failure.json", ChannelBroken, "200"),
        ("whatsapp-wati", 200, "wati/send_template_failure_200.json", ChannelBroken, "200"),
        ("whatsapp-wati", 200, "wati/send_template_invalid_number_200.json", Unreachable, ""),
        ("whatsapp-interakt", 401, "interakt/failure_401.json", ChannelBroken, "401"),
        ("whatsapp-interakt", 429, "interakt/failure_429.json", TryLater, "429"),
        ("whatsapp-interakt", 400, "interakt/send_template_failure_400.json", ChannelBroken, "400"),
        ("whatsapp-cloud", 400, "whatsapp-cloud/failure_pair_rate_131056.json", TryLater, "131056"),
        ("whatsapp-cloud", 404, "whatsapp-cloud/failure_template_missing_132001.json", ChannelBroken, "132001"),
        ("whatsapp-cloud", 401, "whatsapp-cloud/failure_token_190.json", ChannelBroken, "190"),
    ],
    indirect=["scene"],
)  # fmt: skip
def test_failures_are_what_the_page_says(scene, status, answer, kind, code):
    say(scene, status, sample(answer))
    with pytest.raises(kind) as caught:
        scene.channel.send(replace(SHIPPED, text="Shipped"))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert caught.value.words


@pytest.mark.parametrize(
    ("scene", "body"),
    [
        ("whatsapp-msg91", {"status": "success", "hasError": False}),
        ("whatsapp-wati", {"result": True, "receivers": []}),
        ("whatsapp-wati", {"result": True, "receivers": [{"isValidWhatsAppNumber": True, "localMessageId": None}]}),
        ("whatsapp-interakt", {"result": True}),
        ("whatsapp-cloud", {"messages": []}),
    ],
    indirect=["scene"],
)  # fmt: skip
def test_a_success_without_an_id_may_have_gone(scene, body):
    say(scene, 200, body)
    with pytest.raises(OutcomeUnknown):
        scene.channel.send(SHIPPED)


@of("whatsapp-interakt")
def test_interakts_id_may_stand_deeper(scene):
    say(scene, 200, {"result": True, "data": {"id": "deep"}})
    assert scene.channel.send(SHIPPED) == "deep"


@of("whatsapp-cloud")
def test_metas_words_name_the_details_and_the_trace(scene):
    say(scene, 404, sample("whatsapp-cloud/failure_template_missing_132001.json"))
    with pytest.raises(ChannelBroken) as caught:
        scene.channel.send(SHIPPED)
    assert "does not exist in en" in caught.value.words
    assert "AInventedTraceId01" in caught.value.words


# --- what they post ---------------------------------------------------------------------------

S = ReceiptStatus
SM, MM = "SM00000000000000000000000000000001", "MM00000000000000000000000000000002"
WAMID = "wamid.HBgMOTE5ODc2NTQzMjEwFQIAERgSInvented0"
WATI, INTERAKT = "d38f0c3a-e833-4725-a894-invented0001", "0d5f6a1c-7b2e-4c52-9a51-invented0001"
BULK, FLOW = "b5c1f0c2a9d84e0a8b7711aa22bb33cc", "366b6c6d4a3131303438313032"
POSTED = [
    ("twilio", "twilio/status_callback_sms_sent.json", [(SM, S.SENT)]),
    ("twilio", "twilio/status_callback_sms_delivered.json", [(SM, S.DELIVERED)]),
    ("twilio", "twilio/status_callback_sms_undelivered.json", [(SM, S.FAILED)]),
    ("twilio", "twilio/status_callback_whatsapp_read.json", [(MM, S.READ)]),
    ("twilio", "twilio/status_callback_whatsapp_undelivered_63016.json", [(MM, S.FAILED)]),
    ("termii", "termii/webhook_delivered.json", [("9122821270554876574", S.DELIVERED)]),
    ("termii", "termii/webhook_dnd.json", [("9122821270554876574", S.FAILED)]),
    ("termii", "termii/webhook_legacy_delivered.json", [("9122821270554876574", S.DELIVERED)]),
    ("msg91", "msg91/whatsapp_webhook_report_delivered.json", [(BULK, S.DELIVERED)]),
    ("msg91", "msg91/whatsapp_webhook_report_failed.json", [(BULK, S.FAILED)]),
    ("msg91", "msg91/sms_webhook_v3_json.json", [(FLOW, S.DELIVERED)]),
    ("msg91", "msg91/sms_webhook_v2_form.json", [(FLOW, S.DELIVERED)]),
    ("wati", "wati/webhook_template_sent_v2.json", [(WATI, S.SENT)]),
    ("wati", "wati/webhook_delivered_v2.json", [(WATI, S.DELIVERED)]),
    ("wati", "wati/webhook_read_v2.json", [(WATI, S.READ)]),
    ("wati", "wati/webhook_failed.json", [(WATI, S.BOUNCED)]),
    ("interakt", "interakt/webhook_sent.json", [(INTERAKT, S.SENT)]),
    ("interakt", "interakt/webhook_delivered.json", [(INTERAKT, S.DELIVERED)]),
    ("interakt", "interakt/webhook_read.json", [(INTERAKT, S.READ)]),
    ("interakt", "interakt/webhook_failed.json", [(INTERAKT, S.BOUNCED)]),
    ("interakt", "interakt/webhook_test.json", []),
    ("cloud", "whatsapp-cloud/webhook_sent.json", [(WAMID + "1", S.SENT)]),
    ("cloud", "whatsapp-cloud/webhook_delivered.json", [(WAMID + "1", S.DELIVERED)]),
    ("cloud", "whatsapp-cloud/webhook_read.json", [(WAMID + "1", S.READ)]),
    ("cloud", "whatsapp-cloud/webhook_failed_131026.json", [(WAMID + "1", S.BOUNCED)]),
    (
        "cloud", "whatsapp-cloud/webhook_batch_mixed.json",
        [(WAMID + "1", S.DELIVERED), (WAMID + "2", S.SENT), (WAMID + "1", S.READ)],
    ),
]  # fmt: skip
ALL_KEYS = {
    "twilio_auth_token": "t", "termii_secret_key": ("s",), "msg91_webhook_secret": ("m" * 20,),
    "wati_webhook_secret": ("w" * 20,), "interakt_webhook_secret": ("i",),
    "whatsapp_cloud_app_secret": ("c",), "whatsapp_cloud_phone_id": "106540352242922",
    "ses_webhook_secret": ("e" * 20,), "ses_topic_arn": "arn:aws:sns:x:y",
}  # fmt: skip


def posted(name: str) -> tuple[bytes, str]:
    """A webhook's body as it comes over the wire."""
    told = sample(name)
    if name.startswith("twilio/") or name.endswith("_form.json"):
        told.pop("_note")
        return urlencode(told).encode(), FORM
    return json.dumps(told).encode(), "application/json"


@pytest.mark.parametrize(("key", "name", "meant"), POSTED, ids=[name for _, name, _ in POSTED])
def test_a_webhook_is_read(key, name, meant):
    with settings_of(**ALL_KEYS):
        found = receipts(key, *posted(name))
    assert [(one.provider_id, one.status) for one in found] == meant
    assert len({one.event_id for one in found}) == len(found)
    for one in found:
        assert one.recipient in {"", "+919876543210", "+2348012345678"}
        failed = one.status in {S.FAILED, S.BOUNCED}
        assert bool(one.error) == failed
        assert one.kind == ("whatsapp" if "whatsapp" in name or key in {"wati", "interakt"} else "sms")  # fmt: skip


def test_our_reference_comes_back_with_those_that_carry_it():
    with settings_of(**ALL_KEYS):
        for key, name in [
            ("interakt", "interakt/webhook_read.json"),
            ("cloud", "whatsapp-cloud/webhook_failed_131026.json"),
        ]:
            (found,) = receipts(key, *posted(name))
            assert found.message_id == "msg-7f3c"


def test_every_webhook_of_the_samples_is_among_these():
    there = {str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*webhook*.json")}
    there |= {str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("status_callback*.json")}
    assert there == {name for _, name, _ in POSTED} | {"whatsapp-cloud/webhook_verification_query.json"}  # fmt: skip


def test_amazons_bounce_names_who_is_not_there():
    body = {
        "Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:x:y",
        "Message": json.dumps(sample("email/ses_bounce_notification.json")),
    }  # fmt: skip
    with settings_of(**ALL_KEYS):
        (found,) = receipts("ses", json.dumps(body).encode(), "text/plain; charset=UTF-8")
    assert (found.provider_id, found.status, found.kind) == ("0100018c-invented-id", S.BOUNCED, "email")  # fmt: skip
    assert found.recipient == "bounce@simulator.amazonses.com"
    assert "user unknown" in found.error


@pytest.mark.parametrize(
    ("bounce", "status"), [("Permanent", S.BOUNCED), ("Transient", S.FAILED), ("Undetermined", S.FAILED)]
)  # fmt: skip
def test_only_a_bounce_for_good_ends_mail_to_an_address(bounce, status):
    notice = sample("email/ses_bounce_notification.json")
    notice["bounce"]["bounceType"] = bounce
    body = {"Type": "Notification", "MessageId": "n1", "Message": json.dumps(notice)}
    with settings_of(**ALL_KEYS):
        (found,) = receipts("ses", json.dumps(body).encode())
    assert found.status == status


@pytest.mark.parametrize(
    "key", ["termii", "msg91", "wati", "interakt", "cloud", "ses"]
)  # fmt: skip
@pytest.mark.parametrize("body", [b"not json", b"7", b'"x"', b"\xff"])
def test_what_cannot_be_read_says_so(key, body):
    with settings_of(**ALL_KEYS), pytest.raises(ValueError):  # noqa: PT011
        receipts(key, body)


@pytest.mark.parametrize("key", ["termii", "msg91", "wati", "interakt", "cloud", "ses"])
@pytest.mark.parametrize(
    "body", [b"{}", b'{"entry": [7, {"changes": {}}], "data": null, "type": 7}']
)
def test_what_tells_nothing_of_a_message_is_left_out(key, body):
    with settings_of(**ALL_KEYS):
        assert receipts(key, body) == []


def test_other_numbers_of_the_same_app_are_not_ours():
    told = sample("whatsapp-cloud/webhook_delivered.json")
    told["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = "999"
    with settings_of(**ALL_KEYS):
        assert receipts("cloud", json.dumps(told).encode()) == []


def test_watis_old_form_of_an_event_is_left_out():
    told = sample("wati/webhook_delivered_v2.json")
    told["eventType"] = "sentMessageDELIVERED"
    with settings_of(**ALL_KEYS):
        assert receipts("wati", json.dumps(told).encode()) == []
