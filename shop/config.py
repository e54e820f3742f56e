"""Every environment variable of the shop: one typed table, read and checked once at the start.

The table below is also what makes the README's configuration table and .env.example
(`flask shop settings-table`); a test compares them. Any variable may instead be named as
NAME_FILE, holding the path of a file with the value, for container secrets.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import current_app

from shop import start_checks

ROOT = Path(__file__).resolve().parent.parent
INSTANCE = ROOT / "instance"


class ConfigurationError(RuntimeError):
    """The environment is not fit to start with. `faults` holds one sentence for each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("The shop cannot start:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


def text(value: str) -> str:
    """The value as it stands, without surrounding blanks."""
    return value.strip()


def flag(value: str) -> bool:
    """true or false, nothing else: a misspelt flag must stop the start."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.strip().lower() not in known:
        raise ValueError("must be true or false")
    return known[value.strip().lower()]


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number between low and high, both included."""

    def read(value: str) -> int:
        if (
            not value.strip().isascii()
            or not value.strip().isdigit()
            or not low <= int(value) <= high
        ):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the words given."""

    def read(value: str) -> str:
        if value.strip() not in choices:
            raise ValueError("must be one of " + ", ".join(choices))
        return value.strip()

    return read


def words(value: str) -> tuple[str, ...]:
    """A list separated by commas."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def address(value: str) -> str:
    """An http or https address without a slash at its end."""
    parts = urlsplit(value.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address such as https://shop.example")
    return value.strip().rstrip("/")


def mail_server(value: str) -> str:
    """Where mail is handed over; the scheme says how it is encrypted."""
    parts = urlsplit(value.strip())
    if parts.scheme not in {"smtp", "smtps", "smtp+starttls"} or not parts.hostname:
        raise ValueError("must begin with smtp://, smtps:// or smtp+starttls://")
    return value.strip()


def zone(value: str) -> str:
    """A time zone of the IANA database."""
    try:
        ZoneInfo(value.strip())
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be a time zone such as Asia/Kolkata") from error
    return value.strip()


def time_slot(value: str) -> str:
    """Hours of one day, such as 10:00-18:00; or nothing."""
    start, _, end = value.strip().partition("-")
    try:
        is_slot = not value.strip() or time.fromisoformat(start) < time.fromisoformat(end)
    except (ValueError, TypeError):
        is_slot = False
    if not is_slot:
        raise ValueError("must be a time slot such as 10:00-18:00")
    return value.strip()


def currency_code(value: str) -> str:
    """An ISO 4217 code of three capital letters."""
    if len(value.strip()) != 3 or not value.strip().isalpha():
        raise ValueError("must be a currency code such as INR")
    return value.strip().upper()


def database_url(value: str) -> str:
    """A SQLAlchemy address; the postgres:// that hosts hand out is rewritten for psycopg 3."""
    url = value.strip()
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return url


def var(
    group: str, default: Any, read: Callable[[str], Any], help: str, *, secret: bool = False
) -> Any:
    """One row of the table: its group, default, reader and explanation."""
    meta = {"group": group, "read": read, "help": help, "secret": secret}
    return field(default=default, metadata=meta)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The table. A field `public_url` is read from the variable PUBLIC_URL."""

    # fmt: off
    shop_env: str = var("shop", "development", one_of("development", "staging", "production"), "What kind of place this is. Production refuses sandbox providers, test keys and weak secrets.")
    secret_key: str = var("shop", "", text, "Signs cookies. 32 characters or more. Made on the first start in development and kept in instance/.", secret=True)
    secret_key_fallbacks: tuple[str, ...] = var("shop", (), words, "Earlier secret keys that are still accepted.", secret=True)
    encryption_keys: tuple[str, ...] = var("shop", (), words, "Keys (Fernet) for secrets kept in the database, newest first. Derived from SECRET_KEY in development.", secret=True)
    shop_name: str = var("shop", "Halflong", text, "The name that shoppers see.")
    support_email: str = var("shop", "help@halflong.example", text, "Where shoppers write to.")
    public_url: str = var("shop", "http://127.0.0.1:8000", address, "The address that shoppers, gateways and couriers use.")
    trusted_hosts: tuple[str, ...] = var("shop", (), words, "Host names that are answered. Default: the host of PUBLIC_URL and, outside production, localhost.")
    trusted_proxies: int = var("shop", 0, number(0, 5), "How many reverse proxies stand in front and set X-Forwarded-For.")
    host: str = var("shop", "127.0.0.1", text, "The address that `make run` listens on.")
    port: int = var("shop", 8000, number(1, 65535), "The port that `make run` listens on.")
    database_url: str = var("shop", f"sqlite:///{INSTANCE / 'shop.db'}", database_url, "SQLite file or PostgreSQL.", secret=True)
    migration_database_url: str = var("shop", "", text, "The database user for migrations. Default: DATABASE_URL.", secret=True)
    redis_url: str = var("shop", "", text, "Redis or Valkey. Empty: the worker drains the job table by itself.", secret=True)
    workers: int = var("shop", 1, number(1, 64), "How many worker processes worker.py starts.")
    storage_url: str = var("shop", f"file://{INSTANCE / 'files'}", text, "Folder for labels and other files.")
    default_currency: str = var("shop", "INR", currency_code, "The currency of prices and orders.")
    timezone: str = var("shop", "Asia/Kolkata", zone, "Decides the month of order numbers and the times shown.")
    staff_second_factor: str = var("shop", "", one_of("", "optional", "required"), "`required` (the default in production): staff enrol a second factor before they reach /admin. `optional` (elsewhere): who has one is asked for it.")
    payment_gateways: tuple[str, ...] = var("shop", ("sandbox", "bank_transfer", "cod", "gift_card"), words, "Payment methods switched on.")
    default_payment_gateway: str = var("shop", "sandbox", text, "The method chosen first at checkout.")
    courier: str = var("shop", "sandbox", text, "The courier: sandbox, parcel (Shiprocket) or manual (staff take it to a carrier and type its number).")
    cron_secret: str = var("shop", "", text, "Bearer secret of GET /api/cron/cleanup. Empty: the route answers 404.", secret=True)
    alert_webhook_url: str = var("shop", "", address, "Where alerts are posted as {\"text\": …}, as Slack takes them. Empty: nowhere.", secret=True)
    webhooks_per_minute: int = var("shop", 100, number(1, 100_000), "Webhooks of gateways and couriers taken from one address in a minute, by each process where there is no Redis.")
    message_webhooks_per_minute: int = var("shop", 1000, number(1, 100_000), "Receipts of messages taken from one address in a minute, in the same way: a provider sends several for each message.")
    metrics_token: str = var("shop", "", text, "Bearer secret of /metrics and of the details of /readyz. Empty: loopback only.", secret=True)
    sandbox_api_base: str = var("sandbox", "", text, "Where the sandbox gateway's API answers. Default: PUBLIC_URL.")
    sandbox_webhook_secret: str = var("sandbox", "", text, "Signs the sandbox's webhooks. Derived from SECRET_KEY when empty.", secret=True)
    stripe_secret_key: str = var("Stripe", "", text, "sk_test_… or sk_live_…", secret=True)
    stripe_webhook_secret: tuple[str, ...] = var("Stripe", (), words, "whsec_…; two while rotating.", secret=True)
    stripe_api_base: str = var("Stripe", "https://api.stripe.com", address, "Stripe's address.")
    razorpay_key_id: str = var("Razorpay", "", text, "rzp_test_… or rzp_live_…")
    razorpay_key_secret: str = var("Razorpay", "", text, "The key's secret.", secret=True)
    razorpay_webhook_secret: tuple[str, ...] = var("Razorpay", (), words, "The webhook's own secret; two while rotating.", secret=True)
    razorpay_checkout: str = var("Razorpay", "payment_link", one_of("payment_link", "checkout_js"), "payment_link: Razorpay's own page. checkout_js: Razorpay's script on a pay page of the shop.")
    razorpay_currencies: tuple[str, ...] = var("Razorpay", ("INR",), words, "Currencies that the account is activated for.")
    razorpay_api_base: str = var("Razorpay", "https://api.razorpay.com", address, "Razorpay's address.")
    paystack_secret_key: str = var("Paystack", "", text, "sk_test_… or sk_live_…; signs the webhooks too.", secret=True)
    paystack_previous_secret_key: str = var("Paystack", "", text, "The key before, still accepted for webhooks while rotating.", secret=True)
    paystack_api_base: str = var("Paystack", "https://api.paystack.co", address, "Paystack's address.")
    flutterwave_secret_key: str = var("Flutterwave", "", text, "FLWSECK_TEST-… or FLWSECK-…", secret=True)
    flutterwave_webhook_hash: tuple[str, ...] = var("Flutterwave", (), words, "The secret hash of the dashboard's webhook settings; two while rotating.", secret=True)
    flutterwave_api_base: str = var("Flutterwave", "https://api.flutterwave.com/v3", address, "Flutterwave's address.")
    swish_environment: str = var("Swish", "mock", one_of("mock", "test", "production"), "mock: pretend money; in production it withdraws Swish and finishes what is open. test: the bank's simulator. production: real money.")
    swish_payee_alias: str = var("Swish", "", text, "The shop's Swish number, 123XXXXXXX.")
    swish_cert_file: str = var("Swish", "", text, "Path of the client certificate (PEM).")
    swish_key_file: str = var("Swish", "", text, "Path of its private key (PEM).")
    swish_ca_file: str = var("Swish", "", text, "Path of the CA bundle that Swish's own certificate is checked by. Default: the usual ones.")
    swish_api_base: str = var("Swish", "", text, "Swish's address. Default: by SWISH_ENVIRONMENT.")
    bank_account_name: str = var("bank transfer", "Halflong Sports Pvt Ltd", text, "The payee in the instructions.")
    bank_account_details: str = var("bank transfer", "Example Bank, account 000111222333, IFSC EXMP0000123", text, "Account details in the instructions.")
    shiprocket_email: str = var("Shiprocket", "", text, "The API user's e-mail.")
    shiprocket_password: str = var("Shiprocket", "", text, "The API user's password.", secret=True)
    shiprocket_dry_run: bool = var("Shiprocket", True, flag, "Make no real shipment.")
    shiprocket_pickup_location: str = var("Shiprocket", "Primary", text, "The nickname of the pickup location, exactly as in the panel.")
    shiprocket_pickup_time: str = var("Shiprocket", "10:00-18:00", time_slot, "When the courier may come, in TIMEZONE: pickup is asked for today until the slot ends, then for the next working day. Empty: the courier decides.")
    shiprocket_channel_id: str = var("Shiprocket", "", text, "The channel, if not the default one.")
    shiprocket_webhook_token: tuple[str, ...] = var("Shiprocket", (), words, "The x-api-key of tracking webhooks; two while rotating.", secret=True)
    shiprocket_api_base: str = var("Shiprocket", "https://apiv2.shiprocket.in/v1/external", address, "Shiprocket's address.")
    smtp_url: str = var("mail", "", mail_server, "smtp://, smtps:// or smtp+starttls:// with user and password. Empty: mail goes to the demo mailbox only.", secret=True)
    from_email: str = var("mail", "Halflong <orders@halflong.example>", text, "The sender.")
    admin_email: str = var("mail", "owner@halflong.example", text, "Who hears of new orders, alerts and incidents.")
    ses_configuration_set: str = var("mail", "", text, "Amazon SES's configuration set, which sends bounces and complaints on. Empty: no header is set.")
    ses_topic_arn: str = var("mail", "", text, "The SNS topic that Amazon SES tells of bounces and complaints; messages of other topics are refused.")
    ses_webhook_secret: tuple[str, ...] = var("mail", (), words, "Stands in the address that SNS posts to; 20 characters or more, two while rotating.", secret=True)
    sms_channel: str = var("messages", "", one_of("twilio", "termii"), "Who carries SMS. Empty: none is sent.")
    whatsapp_channel: str = var("messages", "", one_of("twilio", "msg91", "wati", "interakt", "cloud"), "Who carries WhatsApp messages. Empty: none is sent.")
    messages_dry_run: bool = var("messages", True, flag, "SMS and WhatsApp messages are built and checked, and nothing leaves. Mail's own dry run is an empty SMTP_URL.")
    twilio_account_sid: str = var("messages", "", text, "AC…, the account at Twilio.")
    twilio_auth_token: str = var("messages", "", text, "Its primary auth token; signs the webhooks too.", secret=True)
    twilio_previous_auth_token: str = var("messages", "", text, "The token before, still accepted for webhooks while rotating.", secret=True)
    twilio_shared_key: tuple[str, ...] = var("messages", (), words, "Twilio's shared keys for webhooks, if it signs by them.", secret=True)
    twilio_sms_from: str = var("messages", "", text, "The number or name that SMS come from.")
    twilio_messaging_service_sid: str = var("messages", "", text, "MG…, instead of TWILIO_SMS_FROM.")
    twilio_whatsapp_from: str = var("messages", "", text, "The WhatsApp sender, +….")
    twilio_templates: tuple[str, ...] = var("messages", (), words, "Approved templates as name=HX… or name/language=HX….")
    twilio_api_base: str = var("messages", "https://api.twilio.com", address, "Twilio's address.")
    termii_api_key: str = var("messages", "", text, "The API key of Termii's dashboard.", secret=True)
    termii_secret_key: tuple[str, ...] = var("messages", (), words, "The secret key that signs Termii's webhooks; two while rotating.", secret=True)
    termii_sender_id: str = var("messages", "", text, "The registered sender, 3 to 11 letters or digits.")
    termii_api_base: str = var("messages", "", address, "The account's own address, from Termii's dashboard, with /api.")
    msg91_auth_key: str = var("messages", "", text, "MSG91's authkey.", secret=True)
    msg91_whatsapp_number: str = var("messages", "", text, "The integrated number, digits with country code.")
    msg91_namespace: str = var("messages", "", text, "The templates' namespace, where the account has one.")
    msg91_webhook_secret: tuple[str, ...] = var("messages", (), words, "Stands in the webhook's address; 20 characters or more, two while rotating.", secret=True)
    msg91_api_base: str = var("messages", "https://control.msg91.com/api/v5", address, "MSG91's address.")
    wati_url: str = var("messages", "", address, "The account's own address, from Wati's dashboard, with the tenant.")
    wati_token: str = var("messages", "", text, "Wati's access token.", secret=True)
    wati_webhook_secret: tuple[str, ...] = var("messages", (), words, "Stands in the webhook's address; 20 characters or more, two while rotating.", secret=True)
    interakt_api_key: str = var("messages", "", text, "Interakt's key as its dashboard shows it, in base64 already.", secret=True)
    interakt_webhook_secret: tuple[str, ...] = var("messages", (), words, "Signs Interakt's webhooks; two while rotating.", secret=True)
    interakt_api_base: str = var("messages", "https://api.interakt.ai", address, "Interakt's address.")
    whatsapp_cloud_token: str = var("messages", "", text, "A system user's token at Meta.", secret=True)
    whatsapp_cloud_phone_id: str = var("messages", "", text, "The sender's phone number id.")
    whatsapp_cloud_account_id: str = var("messages", "", text, "The WhatsApp Business account's id, to look after its templates.")
    whatsapp_cloud_app_secret: tuple[str, ...] = var("messages", (), words, "The app's secret, signs the webhooks; two while rotating.", secret=True)
    whatsapp_cloud_verify_token: str = var("messages", "", text, "A word of your own, which Meta repeats when the webhook is set up.", secret=True)
    whatsapp_cloud_api_base: str = var("messages", "https://graph.facebook.com/v26.0", address, "Meta's address with the version.")
    ticket_tracker: str = var("tickets", "jsonl", one_of("jsonl", "jira"), "Where incidents go besides the admin: a file, or Jira Cloud.")
    incidents_file: str = var("tickets", str(INSTANCE / "incidents.jsonl"), text, "The JSON-lines file of incidents.")
    ticket_contact_data: str = var("tickets", "masked", one_of("none", "masked", "full"), "What a tracker outside the shop is told of customers' e-mail and phone. The file always holds them whole.")
    jira_url: str = var("tickets", "", text, "Jira's site, such as https://yours.atlassian.net.")
    jira_email: str = var("tickets", "", text, "The account's e-mail.")
    jira_api_token: str = var("tickets", "", text, "Its API token. It ends after a year at most.", secret=True)
    jira_project: str = var("tickets", "", text, "The key of the project that gets the tickets, such as OPS.")
    jira_issue_type: str = var("tickets", "Task", text, "The issues' type, by name or (safer, since names are translated) by id.")
    jira_api_base: str = var("tickets", "", text, "For a token with scopes: https://api.atlassian.com/ex/jira/ and the cloud id. Default: JIRA_URL.")
    log_level: str = var("shop", "INFO", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "How much is logged.")
    # fmt: on

    @property
    def is_production(self) -> bool:
        """True where money is real."""
        return self.shop_env == "production"

    @property
    def staff_need_second_factor(self) -> bool:
        """True where staff reach /admin only with one."""
        chosen = self.staff_second_factor
        return chosen == "required" or (not chosen and self.is_production)

    @property
    def public_host(self) -> str:
        """The host name of PUBLIC_URL."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def is_tls(self) -> bool:
        """True when shoppers come by https; cookies are then Secure."""
        return self.public_url.startswith("https://")

    @property
    def is_sqlite(self) -> bool:
        """True on the embedded database."""
        return self.database_url.startswith("sqlite")


def settings() -> Settings:
    """The settings of the running app."""
    held: Settings = current_app.extensions["settings"]
    return held


def read_settings(
    environ: Mapping[str, str], checked_above: Callable[[Settings], Sequence[str]] | None = None
) -> Settings:
    """Read and check the environment. Raises ConfigurationError with every fault at once.

    `checked_above` tells the faults that only a part above this one can see.
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    for row in fields(Settings):
        name = row.name.upper()
        try:
            raw = _raw_value(name, environ)
            if raw is not None and raw.strip():
                values[row.name] = row.metadata["read"](raw)
        except (ValueError, OSError) as error:
            faults.append(f"{name} {error}")
    found = Settings(**_with_derived(values))
    faults += start_checks.faults(found)
    faults += checked_above(found) if checked_above else []
    if faults:
        raise ConfigurationError(faults)
    return found


def _raw_value(name: str, environ: Mapping[str, str]) -> str | None:
    path = environ.get(f"{name}_FILE")
    if path and name != "INCIDENTS":
        return Path(path).read_text(encoding="utf-8")
    return environ.get(name)


def _with_derived(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in what depends on other values: hosts, secrets of development."""
    if not values.get("secret_key") and values.get("shop_env", "development") != "production":
        values["secret_key"] = _kept_secret()
    public = values.get("public_url", f"http://127.0.0.1:{values.get('port', 8000)}")
    values["public_url"] = public
    values.setdefault("sandbox_api_base", public)
    if not values.get("trusted_hosts"):
        hosts = [urlsplit(public).hostname or ""]
        if values.get("shop_env", "development") != "production":
            hosts += ["localhost", "127.0.0.1", "[::1]"]
        values["trusted_hosts"] = tuple(dict.fromkeys(hosts))
    return values


def _kept_secret() -> str:
    """The secret key of a development machine: made once, readable by its owner only."""
    path = INSTANCE / "secret_key"
    INSTANCE.mkdir(exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def table_rows() -> list[tuple[str, str, str, str]]:
    """(group, NAME, default as shown, explanation) of each setting, for the docs."""
    return [
        (row.metadata["group"], row.name.upper(), _shown_default(row.default), row.metadata["help"])
        for row in fields(Settings)
    ]


def _shown_default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).replace(str(ROOT) + "/", "")
