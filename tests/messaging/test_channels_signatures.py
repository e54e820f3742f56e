"""Who posts receipts proves itself over the raw bytes: the pages' vectors, and everything that is not quite them."""

import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest

from shop.messaging.channels import source
from shop.messaging.channels.ses import confirmation_url
from shop.messaging.channels.whatsapp_cloud import WhatsAppCloud
from shop.providers import BadSignature
from tests.messaging.ways import sample, settings_of

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
JSON = {"Content-Type": "application/json"}

# --- Twilio -----------------------------------------------------------------------------------

TWILIO = sample("twilio/signature_vectors.json")
TOKEN, SHARED = TWILIO["auth_token"], TWILIO["shared_key_secret"]
FIRST = TWILIO["vectors"][0]
IDS = [vector["name"] for vector in TWILIO["vectors"]]


def body_of(vector: dict) -> bytes:
    return vector["body"].encode() if "body" in vector else urlencode(vector["params"]).encode()


def headers_of(vector: dict, **more: str) -> dict[str, str]:
    made = {**(JSON if "body" in vector else FORM), "X-Twilio-Signature": vector["signature"], **more}  # fmt: skip
    if vector["algorithm"] == "HMAC_SHA256":
        made["X-Twilio-Webhooks-Signature-Settings"] = "key=1,algorithm=HMAC_SHA256"
    return made


def twilio(body: bytes, headers: dict[str, str], url: str, **settings) -> None:
    with settings_of(**{"twilio_auth_token": TOKEN, "twilio_shared_key": (SHARED,), **settings}):
        source("twilio").verify(body, headers, url)


@pytest.mark.parametrize("vector", TWILIO["vectors"], ids=IDS)
def test_twilios_vectors_are_good(vector):
    twilio(body_of(vector), headers_of(vector), vector["url"])


@pytest.mark.parametrize("vector", TWILIO["vectors"], ids=IDS)
def test_an_altered_byte_of_anything_is_not(vector):
    body, url = body_of(vector), vector["url"]
    with pytest.raises(BadSignature):
        twilio(body + (b"&More=1" if "params" in vector else b" "), headers_of(vector), url)
    for wrong in (url.replace("https", "http", 1), url + "/", url.replace("shop", "shoq", 1)):
        with pytest.raises(BadSignature):
            twilio(body, headers_of(vector), wrong)
    altered = vector["signature"][:-2] + ("A=" if vector["signature"][-2] != "A" else "B=")
    for wrong in ("", altered, vector["signature"][:-1], vector["signature"] * 2, "é"):
        with pytest.raises(BadSignature):
            twilio(body, {**headers_of(vector), "X-Twilio-Signature": wrong}, url)
    with pytest.raises(BadSignature):
        twilio(body, headers_of(vector), url, twilio_auth_token="other", twilio_shared_key=("x",))


def test_twilios_blanks_and_empty_values_count():
    spaced = next(v for v in TWILIO["vectors"] if v["name"] == "unicode-and-space-in-value")
    stripped = {name: value.strip() for name, value in spaced["params"].items()}
    with pytest.raises(BadSignature):
        twilio(urlencode(stripped).encode(), headers_of(spaced), spaced["url"])
    empty = next(v for v in TWILIO["vectors"] if v["name"] == "empty-value-kept")
    dropped = {name: value for name, value in empty["params"].items() if value}
    with pytest.raises(BadSignature):
        twilio(urlencode(dropped).encode(), headers_of(empty), empty["url"])


def test_a_name_given_twice_counts_each_value_once():
    pairs = [*FIRST["params"].items(), ("To", "+919876543210")]
    twilio(urlencode(pairs).encode(), headers_of(FIRST), FIRST["url"])


def test_the_token_before_is_good_while_it_is_changed():
    twilio(
        body_of(FIRST), headers_of(FIRST), FIRST["url"], twilio_auth_token="new",
        twilio_previous_auth_token=TOKEN,
    )  # fmt: skip


def test_no_header_and_no_known_way_to_sign_is_no_proof():
    with pytest.raises(BadSignature, match="missing"):
        twilio(body_of(FIRST), FORM, FIRST["url"])
    odd = headers_of(FIRST, **{"X-Twilio-Webhooks-Signature-Settings": "key=1,algorithm=NONE"})
    with pytest.raises(BadSignature, match="unknown"):
        twilio(body_of(FIRST), odd, FIRST["url"])


def test_a_body_that_no_signature_covers_is_no_proof():
    """The signature of a GET covers the address alone: a body smuggled beside it must not count."""
    bare = next(v for v in TWILIO["vectors"] if v["name"] == "no-params-get")
    with pytest.raises(BadSignature):
        twilio(b'{"MessageStatus": "failed"}', {**headers_of(bare), **JSON}, bare["url"])


# --- the body's own HMAC ----------------------------------------------------------------------

HASHED = [
    ("termii", "termii_secret_key", "X-Termii-Signature", "sha512", "termii"),
    ("interakt", "interakt_webhook_secret", "Interakt-Signature", "sha256", "interakt"),
    ("cloud", "whatsapp_cloud_app_secret", "X-Hub-Signature-256", "sha256", "whatsapp-cloud"),
]


def check(key: str, setting: str, body: bytes, headers: dict[str, str], *secrets: str) -> None:
    with settings_of(**{setting: secrets}):
        source(key).verify(body, headers, "https://shop.example.com/webhooks/messages/x")


def vectors(folder: str) -> tuple[str, list[tuple[bytes, str]]]:
    told = sample(f"{folder}/signature_vectors.json")
    pairs = [(one["body"].encode(), one["signature"]) for one in told["vectors"]]
    return told.get("secret") or told["app_secret"], pairs


@pytest.mark.parametrize(("key", "setting", "header", "digest", "folder"), HASHED)
def test_the_pages_vectors_are_good(key, setting, header, digest, folder):
    secret, pairs = vectors(folder)
    for body, signature in pairs:
        check(key, setting, body, {header: signature}, secret)
        check(key, setting, body, {header.lower(): signature}, secret)
        # While the secret is changed, either is good.
        check(key, setting, body, {header: signature}, "new", secret)


@pytest.mark.parametrize(("key", "setting", "header", "digest", "folder"), HASHED)
def test_what_is_not_quite_the_vector_is_not(key, setting, header, digest, folder):
    secret, pairs = vectors(folder)
    body, signature = pairs[0]
    flipped = body[:-2] + bytes([body[-2] ^ 1]) + body[-1:]
    last = "0" if signature[-1] != "0" else "1"
    attempts = [
        (flipped, {header: signature}), (body + b"\n", {header: signature}), (b"", {header: signature}),
        (body, {header: signature[:-1] + last}), (body, {header: signature[:-1]}),
        (body, {header: signature + "0"}), (body, {header: ""}), (body, {}), (body, {header: "é"}),
        (json.dumps(json.loads(body)).encode(), {header: signature}),
    ]  # fmt: skip
    for raw, headers in attempts:
        with pytest.raises(BadSignature):
            check(key, setting, raw, headers, secret)
    with pytest.raises(BadSignature):
        check(key, setting, body, {header: signature}, "another")
    # The empty secret, which everybody knows, proves nothing.
    empty = hmac.new(b"", body, digest).hexdigest()
    for shown in (empty, f"sha256={empty}"):
        with pytest.raises(BadSignature):
            check(key, setting, body, {header: shown}, "", secret)


def test_the_same_json_written_otherwise_is_signed_otherwise():
    secret, pairs = vectors("whatsapp-cloud")
    (escaped, first), (plain, second) = pairs[1:]
    assert json.loads(escaped) == json.loads(plain)
    for body, signature in ((escaped, second), (plain, first)):
        with pytest.raises(BadSignature):
            check("cloud", "whatsapp_cloud_app_secret", body, {"X-Hub-Signature-256": signature}, secret)  # fmt: skip


def test_interakts_header_has_two_names_and_its_prefix_may_be_left_out():
    secret, ((body, signature),) = vectors("interakt")
    for name in ("Interakt-Signature", "X-Interakt-Signature", "x-interakt-signature"):
        for shown in (signature, signature.removeprefix("sha256=")):
            check("interakt", "interakt_webhook_secret", body, {name: shown}, secret)


def test_an_sha1_of_meta_is_not_taken():
    secret, pairs = vectors("whatsapp-cloud")
    made = hmac.new(secret.encode(), pairs[0][0], hashlib.sha1).hexdigest()
    with pytest.raises(BadSignature):
        check("cloud", "whatsapp_cloud_app_secret", pairs[0][0], {"X-Hub-Signature": f"sha1={made}"}, secret)  # fmt: skip


# --- a secret in the address ------------------------------------------------------------------

OLD, NEW = "o" * 24, "n" * 24
ADDRESS = "https://shop.example.com/webhooks/messages/"


@pytest.mark.parametrize(
    ("key", "setting", "body"),
    [
        ("msg91", "msg91_webhook_secret", b"{}"),
        ("wati", "wati_webhook_secret", b"{}"),
        ("ses", "ses_webhook_secret", b'{"TopicArn": "arn:1"}'),
    ],
)
def test_who_signs_nothing_knows_the_address(key, setting, body):
    with settings_of(**{setting: (OLD, NEW), "ses_topic_arn": "arn:1"}):
        for secret in (OLD, NEW):
            source(key).verify(body, {}, f"{ADDRESS}{key}/{secret}")
            source(key).verify(body, {}, f"{ADDRESS}{key}/{secret}?x=1")
        for wrong in (
            f"{key}", f"{key}/", f"{key}/{OLD[:-1]}", f"{key}/{OLD}x", f"{key}/{OLD.upper()}",
            f"{key}/{OLD}/", f"{key}/?{OLD}", f"{key}/x?y=/{OLD}", f"{key}/é",
        ):  # fmt: skip
            with pytest.raises(BadSignature):
                source(key).verify(body, {}, ADDRESS + wrong)


def test_amazons_other_topics_are_refused():
    with settings_of(ses_webhook_secret=(OLD,), ses_topic_arn="arn:1"):
        for body in (b'{"TopicArn": "arn:2"}', b"{}", b'{"TopicArn": ["arn:1"]}'):
            with pytest.raises(BadSignature):
                source("ses").verify(body, {}, f"{ADDRESS}ses/{OLD}")


@pytest.mark.parametrize(
    ("address", "is_good"),
    [
        ("https://sns.ap-south-1.amazonaws.com/?Action=ConfirmSubscription&Token=1", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription", True),
        ("http://sns.ap-south-1.amazonaws.com/", False),
        ("https://sns.ap-south-1.amazonaws.com.evil.example/", False),
        ("https://evil-amazonaws.com/", False),
        ("https://bucket.s3.amazonaws.com/", False),
        ("https://sns.x.amazonaws.com@evil.example/", False),
        ("https://evil.example/?sns.x.amazonaws.com", False),
        ("https://user:pass@sns.x.amazonaws.com/", False),
        ("https://sns.x.amazonaws.com:8443/", False),
        ("https://169.254.169.254/", False),
        ("", False),
    ],
)
def test_only_amazons_own_hosts_are_told_yes(address, is_good):
    body = {"Type": "SubscriptionConfirmation", "SubscribeURL": address}
    assert confirmation_url(json.dumps(body).encode()) == (address if is_good else "")
    other = {"Type": "Notification", "SubscribeURL": address}
    assert confirmation_url(json.dumps(other).encode()) == ""


# --- the Cloud API's challenge ----------------------------------------------------------------


def test_the_challenge_is_answered_to_who_knows_the_word():
    told = sample("whatsapp-cloud/webhook_verification_query.json")["query"]
    with settings_of(whatsapp_cloud_verify_token=told["hub.verify_token"]):
        assert WhatsAppCloud().challenge(told) == "1158201444"
        for wrong in ({"hub.verify_token": "x"}, {"hub.verify_token": "é"}, {"hub.mode": "unsubscribe"}):  # fmt: skip
            assert WhatsAppCloud().challenge({**told, **wrong}) is None
        assert WhatsAppCloud().challenge({}) is None
    with settings_of():
        assert WhatsAppCloud().challenge({**told, "hub.verify_token": ""}) is None
