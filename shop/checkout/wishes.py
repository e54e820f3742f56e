"""From the checkout's form to what is to be placed, and the values that a form begins with."""

import re
from collections.abc import Mapping

from flask import request
from flask_login import current_user

from shop.accounts import address_book
from shop.accounts.addresses import read_address, read_country, read_email
from shop.checkout.placing import Wish
from shop.messaging.channels import is_switched_on
from shop.messaging.languages import first_offered
from shop.shipping_prices import deliver_to

Form = Mapping[str, str]

KEY = re.compile(r"[A-Za-z0-9_-]{20,64}")


def read_wish(form: Form, cart_id: int, user_id: int | None) -> tuple[Wish, dict[str, str]]:
    """The wish, and what is wrong with the form: {field's name: words}.

    Of figures only the total that the shopper saw is read, and only to be compared.
    """
    email, email_error = read_email(form)
    delivery, errors = read_address(form, read_country(form))
    billing = dict(delivery)
    billing_errors: dict[str, str] = {}
    if not is_billed_to_delivery(form):
        billing, billing_errors = read_address(form, read_country(form, "billing_"), "billing_")
    if not form.get("method") and not form.get("gift_code"):
        billing_errors["method"] = "Choose how you want to pay"
    errors = {**({"email": email_error} if email_error else {}), **errors, **billing_errors}
    wish = Wish(
        cart_id=cart_id, user_id=user_id, email=email, phone=delivery["phone"], shipping_address=delivery,
        billing_address=billing, rate=form.get("rate", ""), method=form.get("method", ""),
        idempotency_key=form.get("idempotency_key", ""), quoted_total_minor=_total(form, "quoted_total"),
        gift_code=form.get("gift_code", "")[:40], by_deposit=form.get("plan") == "deposit",
        quoted_now_minor=_total(form, "quoted_now") if "quoted_now" in form else None,
        locale=first_offered(request.accept_languages.values()),
        live_token=form.get("live_token", "")[:64], news_by=tuple(news_kinds()) if form.get("news") else (),
    )  # fmt: skip
    return wish, errors


def news_kinds() -> list[str]:
    """What somebody carries that needs the shopper's word: WhatsApp first, since it costs them nothing."""
    return [kind for kind in ("whatsapp", "sms") if is_switched_on(kind)]


def has_key(form: Form) -> bool:
    """True when the form carries a key as ours are made."""
    return KEY.fullmatch(form.get("idempotency_key", "")) is not None


def is_billed_to_delivery(form: Form) -> bool:
    """Whether the bill goes where the parcel goes: ticked when a form is opened."""
    return bool(form.get("billing_same")) or not form.get("idempotency_key")


def _total(form: Form, name: str) -> int:
    typed = form.get(name, "")
    return int(typed) if re.fullmatch(r"\d{1,12}", typed, re.ASCII) else -1


def first_values() -> dict[str, str]:
    """What a form begins with: a signed-in customer's address, else the place asked about before."""
    place = deliver_to.remembered()
    values = {"country": place.country, "postal_code": place.postal_code}
    if not current_user.is_authenticated:
        return values
    values |= {
        "email": current_user.email, "name": current_user.name, "tel": current_user.phone or "",
    }  # fmt: skip
    book = address_book.addresses_of(current_user.id)
    if not book:
        return values
    known = book[0]
    return {
        **values, "name": known.recipient, "tel": known.phone or values["tel"],
        "country": known.country, "postal_code": known.postal_code, "city": known.city,
        "state": known.state, "address_line1": known.line1, "address_line2": known.line2,
        "landmark": known.landmark,
    }  # fmt: skip


def save_address(user_id: int, wish: Wish) -> None:
    """Keep the delivery address in the customer's book, once. In the caller's transaction."""
    known = address_book.addresses_of(user_id)
    values = dict(wish.shipping_address)
    if any(all(getattr(one, name) == value for name, value in values.items()) for one in known):
        return
    if len(known) < address_book.MOST:
        address_book.add(user_id, values)
