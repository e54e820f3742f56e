"""The settings: read once, typed, all faults at once; and the docs are made from the same table."""

from pathlib import Path

import pytest

from shop import create_app
from shop import read_settings as shop_settings
from shop.cli import env_example, markdown_table
from shop.config import ConfigurationError, Settings, read_settings
from shop.start_checks import MESSAGES_NEED, warnings

ROOT = Path(__file__).resolve().parent.parent
SAFE = {
    "SHOP_ENV": "production", "SECRET_KEY": "x" * 40, "PUBLIC_URL": "https://till.example",
    "ENCRYPTION_KEYS": "S" * 43 + "=", "SMTP_URL": "smtps://user:pass@mail.example", "COURIER": "parcel",
    "PAYMENT_GATEWAYS": "bank_transfer", "DEFAULT_PAYMENT_GATEWAY": "bank_transfer",
}  # fmt: skip


def test_the_readmes_table_is_the_one_table_of_settings():
    assert markdown_table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_environment_is_made_from_it_too():
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example()


def test_a_safe_production_starts():
    assert read_settings(SAFE).is_production


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigurationError) as told:
        read_settings(
            {
                "PORT": "many", "TIMEZONE": "Mars/Base", "SHIPROCKET_DRY_RUN": "perhaps",
                "DEFAULT_PAYMENT_GATEWAY": "stripe",
            }
        )  # fmt: skip
    assert len(told.value.faults) == 4
    for name in ("PORT", "TIMEZONE", "SHIPROCKET_DRY_RUN", "DEFAULT_PAYMENT_GATEWAY"):
        assert name in str(told.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"PUBLIC_URL": "http://till.example"}, "https://"),
        ({"PAYMENT_GATEWAYS": "sandbox", "DEFAULT_PAYMENT_GATEWAY": "sandbox"}, "sandbox"),
        ({"COURIER": "sandbox"}, "sandbox"),
        ({"PAYMENT_GATEWAYS": "stripe", "DEFAULT_PAYMENT_GATEWAY": "stripe"}, "STRIPE_SECRET_KEY"),
        (
            {
                "PAYMENT_GATEWAYS": "stripe", "DEFAULT_PAYMENT_GATEWAY": "stripe",
                "STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
            },
            "test key",
        ),
        ({"STRIPE_API_BASE": "http://127.0.0.1:9"}, "STRIPE_API_BASE"),
        ({"SMTP_URL": ""}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://user:pass@mail.example"}, "clear"),
        ({"SHIPROCKET_DRY_RUN": "false"}, "SHIPROCKET_WEBHOOK_TOKEN"),
        ({"DEFAULT_PAYMENT_GATEWAY": "cod"}, "DEFAULT_PAYMENT_GATEWAY"),
    ],
)  # fmt: skip
def test_s72_production_refuses_what_is_unsafe(change, sentence):
    with pytest.raises(ConfigurationError) as told:
        read_settings({**SAFE, **change})
    assert sentence in str(told.value)


def test_a_provider_that_is_not_there_is_refused_beside_every_other_fault():
    environ = {"COURIER": "ups", "PAYMENT_GATEWAYS": "sandbox,paypal", "PORT": "many", "PAYSTACK_SECRET_KEY": "x"}  # fmt: skip
    for start in (create_app, shop_settings):
        with pytest.raises(ConfigurationError) as told:
            start(environ)
        assert [fault.partition(",")[0] for fault in told.value.faults] == [
            "PORT must be a whole number from 1 to 65535",
            "PAYSTACK_SECRET_KEY is not a secret key of Paystack: those begin with sk_test_ or sk_live_.",
            "PAYMENT_GATEWAYS names paypal",
            "COURIER names ups",
        ]


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("STRIPE_SECRET_KEY", "a secret key of Stripe"), ("RAZORPAY_KEY_ID", "a key id of Razorpay"),
        ("PAYSTACK_SECRET_KEY", "a secret key of Paystack"),
        ("FLUTTERWAVE_SECRET_KEY", "a secret key of Flutterwave"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [{}, SAFE], ids=["development", "production"])
def test_what_is_neither_a_test_key_nor_a_live_one_is_no_key(name, known_as, place):
    for wrong in ("pk_live_x", "FLWPUBK-x", "sk_x", "garbage", "SK_TEST_x", '"sk_test_x"'):
        (told,) = faults_of({**place, name: wrong})
        assert told.startswith(f"{name} is not {known_as}: those begin with ")
    assert read_settings({**place, name: ""})


def test_a_live_key_outside_production_is_refused():
    environ = {
        "PAYMENT_GATEWAYS": "stripe", "DEFAULT_PAYMENT_GATEWAY": "stripe",
        "STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="live key"):
        read_settings(environ)


GATEWAY_KEYS = {
    "STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
    "RAZORPAY_KEY_ID": "rzp_test_x", "RAZORPAY_KEY_SECRET": "x", "RAZORPAY_WEBHOOK_SECRET": "x",
    "PAYSTACK_SECRET_KEY": "sk_live_x",
    "FLUTTERWAVE_SECRET_KEY": "FLWSECK_TEST-x", "FLUTTERWAVE_WEBHOOK_HASH": "x",
}  # fmt: skip
ALL_ONLINE = {"PAYMENT_GATEWAYS": "stripe,razorpay,paystack,flutterwave,swish,bank_transfer"}


def faults_of(environ):
    with pytest.raises(ConfigurationError) as told:
        read_settings(environ)
    return told.value.faults


def test_every_gateway_switched_on_says_at_once_what_it_lacks():
    told = faults_of({**SAFE, **ALL_ONLINE, "SWISH_ENVIRONMENT": "production"})
    assert told == [
        f"{name} is missing, and {key} is in PAYMENT_GATEWAYS."
        for key, name in [
            ("stripe", "STRIPE_SECRET_KEY"), ("stripe", "STRIPE_WEBHOOK_SECRET"),
            ("razorpay", "RAZORPAY_KEY_ID"), ("razorpay", "RAZORPAY_KEY_SECRET"),
            ("razorpay", "RAZORPAY_WEBHOOK_SECRET"), ("paystack", "PAYSTACK_SECRET_KEY"),
            ("flutterwave", "FLUTTERWAVE_SECRET_KEY"), ("flutterwave", "FLUTTERWAVE_WEBHOOK_HASH"),
            ("swish", "SWISH_PAYEE_ALIAS"), ("swish", "SWISH_CERT_FILE"), ("swish", "SWISH_KEY_FILE"),
        ]
    ]  # fmt: skip


def test_live_keys_outside_production_and_beside_test_keys_are_each_a_fault():
    assert faults_of({**ALL_ONLINE, **GATEWAY_KEYS, "DEFAULT_PAYMENT_GATEWAY": "stripe"}) == [
        "STRIPE_SECRET_KEY is a live key outside production.",
        "PAYSTACK_SECRET_KEY is a live key outside production.",
        "Test and live keys stand side by side: RAZORPAY_KEY_ID, FLUTTERWAVE_SECRET_KEY "
        "and STRIPE_SECRET_KEY, PAYSTACK_SECRET_KEY.",
    ]


def test_test_keys_in_production_and_beside_live_keys_are_each_a_fault():
    assert faults_of({**SAFE, **ALL_ONLINE, **GATEWAY_KEYS}) == [
        "RAZORPAY_KEY_ID is a test key.",
        "FLUTTERWAVE_SECRET_KEY is a test key.",
        "Test and live keys stand side by side: RAZORPAY_KEY_ID, FLUTTERWAVE_SECRET_KEY "
        "and STRIPE_SECRET_KEY, PAYSTACK_SECRET_KEY.",
    ]


@pytest.mark.parametrize(
    "provider",
    [
        "RAZORPAY",
        "PAYSTACK",
        "FLUTTERWAVE",
        "STRIPE",
        "SHIPROCKET",
        "TWILIO",
        "MSG91",
        "INTERAKT",
        "WHATSAPP_CLOUD",
        "TERMII",
    ],
)
def test_in_production_only_a_providers_own_address_will_do(provider):
    (told,) = faults_of({**SAFE, f"{provider}_API_BASE": "https://elsewhere.example"})
    assert told.startswith(f"{provider}_API_BASE must be")


@pytest.mark.parametrize(
    ("place", "environment", "sentence"),
    [
        ({}, "production", "SWISH_ENVIRONMENT is production outside production."),
        (SAFE, "test", "SWISH_ENVIRONMENT is test in production."),
    ],
)
def test_swish_keeps_pretend_and_real_money_apart(place, environment, sentence):
    swish = {
        "PAYMENT_GATEWAYS": "swish,bank_transfer", "DEFAULT_PAYMENT_GATEWAY": "bank_transfer",
        "SWISH_ENVIRONMENT": environment, "SWISH_PAYEE_ALIAS": "1231181189",
        "SWISH_CERT_FILE": "cert.pem", "SWISH_KEY_FILE": "key.pem",
    }  # fmt: skip
    assert faults_of({**place, **swish}) == [sentence]


def test_pretend_swish_does_not_stop_production_from_finishing_what_is_open():
    swish = {"PAYMENT_GATEWAYS": "swish,bank_transfer", "SWISH_ENVIRONMENT": "mock"}
    assert read_settings({**SAFE, **swish})


def test_a_value_may_come_from_a_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("k" * 40 + "\n", encoding="ascii")
    assert read_settings({"SECRET_KEY_FILE": str(path)}).secret_key == "k" * 40


def test_a_file_that_is_missing_is_a_fault(tmp_path):
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        read_settings({"SECRET_KEY_FILE": str(tmp_path / "none")})


def test_the_address_of_hosts_is_rewritten_for_the_driver():
    read = read_settings({"DATABASE_URL": "postgres://u:p@db/till", "SECRET_KEY": "x" * 40})
    assert read.database_url == "postgresql+psycopg://u:p@db/till"


def test_every_setting_is_explained():
    assert all(
        row.metadata["help"].endswith((".", "…")) for row in Settings.__dataclass_fields__.values()
    )


CHANNELS_NEED = [
    ("SMS", "twilio", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_SMS_FROM or TWILIO_MESSAGING_SERVICE_SID"]),
    ("SMS", "termii", ["TERMII_API_BASE", "TERMII_API_KEY", "TERMII_SENDER_ID", "TERMII_SECRET_KEY"]),
    ("WHATSAPP", "twilio", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_WHATSAPP_FROM", "TWILIO_TEMPLATES"]),
    ("WHATSAPP", "msg91", ["MSG91_AUTH_KEY", "MSG91_WHATSAPP_NUMBER", "MSG91_WEBHOOK_SECRET"]),
    ("WHATSAPP", "wati", ["WATI_URL", "WATI_TOKEN", "WATI_WEBHOOK_SECRET"]),
    ("WHATSAPP", "interakt", ["INTERAKT_API_KEY", "INTERAKT_WEBHOOK_SECRET"]),
    ("WHATSAPP", "cloud", ["WHATSAPP_CLOUD_TOKEN", "WHATSAPP_CLOUD_PHONE_ID", "WHATSAPP_CLOUD_APP_SECRET", "WHATSAPP_CLOUD_VERIFY_TOKEN"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "provider", "names"), CHANNELS_NEED)
def test_a_channel_that_sends_says_what_it_lacks_and_a_dry_run_lacks_nothing(kind, provider, names):
    chosen = {**SAFE, f"{kind}_CHANNEL": provider}
    assert read_settings({**chosen, "MESSAGES_DRY_RUN": "true"}).messages_dry_run
    told = faults_of({**chosen, "MESSAGES_DRY_RUN": "false"})
    assert told == [f"{name} is missing, and {kind}_CHANNEL is {provider}." for name in names]


def test_every_channel_of_the_table_has_its_needs_listed():
    from shop.messaging.channels import CHANNELS

    offered = {(kind, key) for kind, keys in CHANNELS.items() for key in keys if kind != "email"}
    assert offered == set(MESSAGES_NEED)
    assert offered == {(kind.lower(), provider) for kind, provider, _ in CHANNELS_NEED}


def test_a_dry_run_in_production_is_warned_of_where_somebody_would_carry_messages():
    chosen = {**SAFE, "SMS_CHANNEL": "twilio", "WHATSAPP_CHANNEL": "wati"}
    (told,) = warnings(read_settings(chosen))
    assert "MESSAGES_DRY_RUN is true" in told
    assert "twilio or wati" in told
    assert list(warnings(read_settings(SAFE))) == []
    assert list(warnings(read_settings({"SMS_CHANNEL": "twilio"}))) == []


@pytest.mark.parametrize(
    "name", ["MSG91_WEBHOOK_SECRET", "WATI_WEBHOOK_SECRET", "SES_WEBHOOK_SECRET"]
)
@pytest.mark.parametrize("secret", ["short", "x" * 19, "with/slash" * 3, f"{'a' * 24},short"])
def test_a_secret_in_an_address_is_long_and_fits_into_one(name, secret):
    told = faults_of({name: secret, "SES_TOPIC_ARN": "arn" if name.startswith("SES") else ""})
    assert told == [f"{name} must have 20 or more letters and digits: it stands in an address."]


def test_amazons_topic_and_its_secret_go_together():
    for half in ({"SES_TOPIC_ARN": "arn:1"}, {"SES_WEBHOOK_SECRET": "s" * 24}):
        assert faults_of(half) == ["SES_WEBHOOK_SECRET and SES_TOPIC_ARN are of use together only."]


@pytest.mark.parametrize(
    ("name", "address", "is_own"),
    [
        ("TERMII_API_BASE", "https://v3.api.termii.com/api", True),
        ("TERMII_API_BASE", "https://termii.com.evil.example/api", False),
        ("TERMII_API_BASE", "http://v3.api.termii.com/api", False),
        ("WATI_URL", "https://live-mt-server.wati.io/310042", True),
        ("WATI_URL", "https://evilwati.io/310042", False),
        ("MSG91_API_BASE", "https://api.msg91.com/api/v5", True),
        ("WHATSAPP_CLOUD_API_BASE", "https://graph.facebook.com/v27.0", True),
        ("TWILIO_API_BASE", "https://api.twilio.com@evil.example", False),
    ],
)
def test_an_accounts_own_address_lies_below_its_provider(name, address, is_own):
    if is_own:
        assert read_settings({**SAFE, name: address}).is_production
        return
    (told,) = faults_of({**SAFE, name: address})
    assert told.startswith(f"{name} must be")
