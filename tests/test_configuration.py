"""The settings: read once, typed, all faults at once; and the docs are made from the same table."""

from pathlib import Path

import pytest

from shop.cli import env_example, markdown_table
from shop.config import ConfigurationError, Settings, read_settings

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


@pytest.mark.parametrize("change", [{"COURIER": "ups"}, {"PAYMENT_GATEWAYS": "sandbox,paypal"}])
def test_a_provider_that_is_not_there_is_refused(change):
    from shop import create_app

    with pytest.raises(ConfigurationError, match=r"ups|paypal"):
        create_app({"SECRET_KEY": "x" * 40, **change})


def test_a_live_key_outside_production_is_refused():
    environ = {
        "PAYMENT_GATEWAYS": "stripe", "DEFAULT_PAYMENT_GATEWAY": "stripe",
        "STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="live key"):
        read_settings(environ)


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
