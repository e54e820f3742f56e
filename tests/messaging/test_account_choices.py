"""A customer's switches, and the box at the checkout."""

import pytest

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.models import Consent
from tests import factories
from tests.checkout import shopping

NUMBER = "+919812345678"


@pytest.fixture
def person(app, configure):
    configure(sms_channel="twilio", whatsapp_channel="cloud", messages_dry_run=True)
    return factories.make_user(email="asha@shopper.example", email_confirmed_at=utcnow())


@pytest.fixture
def shopper(client, person):
    shopping.sign_in(client, person)
    return client


def save(shopper, **fields: str):
    data = {"csrf_token": shopper.csrf_token(), **fields}
    headers = {"Sec-Fetch-Site": "same-origin"}
    return shopper.post("/account/messages", data=data, headers=headers)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_channel_and_purpose_has_a_switch_that_is_off(shopper):
    page = shopper.get("/account/messages").text
    for name in (
        "transactional-sms", "transactional-whatsapp", "reminders-email", "reminders-sms",
        "reminders-whatsapp", "marketing-email", "marketing-sms", "marketing-whatsapp",
    ):  # fmt: skip
        assert f'name="{name}" value="1">' in page, name
    assert 'name="transactional-email" value="1" checked disabled' in page


def test_what_is_ticked_is_granted_and_what_is_not_is_withdrawn(shopper, person):
    answer = save(
        shopper, **{"tel": "98123 45678", "transactional-sms": "1", "reminders-email": "1"}
    )
    assert "Your choices are kept." in answer.text
    assert consents.may_send("sms", NUMBER, "transactional") == ""
    assert consents.may_send("email", person.email, "reminders") == ""
    assert consents.may_send("whatsapp", NUMBER, "transactional")
    assert db.session.scalars(db.select(Consent.user_id)).all() == [person.id] * 2
    save(shopper, tel="98123 45678")
    assert consents.may_send("sms", NUMBER, "transactional")
    assert consents.may_send("email", person.email, "reminders")


def test_a_number_that_is_given_up_loses_its_consents(shopper):
    save(shopper, **{"tel": "98123 45678", "transactional-sms": "1"})
    save(shopper, **{"tel": "98123 45679", "transactional-sms": "1"})
    assert consents.may_send("sms", NUMBER, "transactional")
    assert consents.may_send("sms", "+919812345679", "transactional") == ""


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_number_that_is_none_is_refused_and_nothing_kept(shopper):
    answer = save(shopper, **{"tel": "12", "reminders-email": "1"})
    assert answer.status_code == 422
    assert "Enter a mobile number" in answer.text
    assert db.session.scalar(db.select(db.func.count(Consent.id))) == 0


def test_who_wrote_stop_is_told_how_to_undo_it(shopper):
    save(shopper, **{"tel": "98123 45678", "transactional-sms": "1"})
    with transaction():
        consents.suppress("sms", NUMBER, "opted_out", "STOP")
    assert "Send us START there" in shopper.get("/account/messages").text
    save(shopper, **{"tel": "98123 45678", "transactional-sms": "1"})
    assert (
        consents.may_send("sms", NUMBER, "transactional") == "its owner asked for no more messages"
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_is_for_who_signed_in(client):
    assert "/account/sign-in" in client.get("/account/messages").headers["Location"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_checkout_asks_unticked_and_only_by_what_is_carried(client, app, configure):
    product = factories.make_product()
    client.post_form("/cart/items", {"variant_id": product.variants[0].id, "quantity": 1})
    assert 'name="news"' not in client.get("/checkout").text
    configure(whatsapp_channel="cloud")
    page = client.get("/checkout").text
    assert 'name="news" value="1"> Send me delivery news by WhatsApp<' in page
    assert 'name="remind" value="1" hx-post' in page


def test_the_box_grants_and_its_absence_does_not(app, configure):
    configure(sms_channel="twilio", whatsapp_channel="cloud", messages_dry_run=True)
    factories.make_order(lines=1)
    assert consents.may_send("sms", NUMBER, "transactional")
    factories.make_order(lines=1, news_by=("sms", "whatsapp"))
    assert consents.may_send("sms", NUMBER, "transactional") == ""
    assert consents.may_send("whatsapp", NUMBER, "transactional") == ""
    assert consents.may_send("sms", NUMBER, "marketing")
    sources = db.session.scalars(db.select(Consent.source)).all()
    assert sources == ["checkout", "checkout"]


def test_the_boxes_of_the_form_are_heard(client, app, configure):
    configure(whatsapp_channel="cloud", messages_dry_run=True)
    product = factories.make_product()
    shopping.put_in_cart(client, product)
    answer = shopping.send(
        client, shopping.open_form(client), postal_code="x", news="1", remind="1"
    )
    assert answer.status_code == 422
    assert consents.agreed("email", shopping.ADDRESS["email"], "reminders")
    assert consents.may_send("whatsapp", "+919840012345", "transactional"), "nothing was placed yet"
    shopping.buy(client, product, news="1")
    assert consents.may_send("whatsapp", "+919840012345", "transactional") == ""


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_address_that_bounced_says_so_to_its_owner(shopper, person):
    with transaction():
        consents.suppress("email", person.email, "bounced")
    assert "Our mails came back from this address" in shopper.get("/account/messages").text
