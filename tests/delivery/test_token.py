"""One log-in for all: renewed once, never hammered."""

import threading

import pytest
from sqlalchemy import select

from shop.clock import in_future
from shop.delivery.courier_tokens import StoredToken
from shop.delivery.couriers import courier
from shop.delivery.models import CourierToken
from shop.extensions import db
from shop.incidents.models import Incident
from shop.providers import OutcomeUnknown, TryLater

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_many_that_need_a_token_at_once_log_in_once(app, parcels):
    parcels.login_seconds = 0.3
    got, errors = [], []

    def ask():
        with app.app_context():
            try:
                got.append(courier("parcel").find("2611.001"))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert errors == []
    assert len(got) == 10
    assert parcels.logins == 1


def test_a_token_is_kept_encrypted_and_used_again(app, parcels):
    courier("parcel").find("x")
    courier("parcel").find("x")
    row = db.session.scalars(select(CourierToken)).one()
    assert "token-1" not in row.token
    assert parcels.logins == 1


@sqlite_only
def test_a_token_is_renewed_a_day_before_it_ends(app, parcels, turn_clock):
    courier("parcel").find("x")
    turn_clock(days=8, hours=23)
    courier("parcel").find("x")
    assert parcels.logins == 1
    turn_clock(hours=2)
    courier("parcel").find("x")
    assert parcels.logins == 2


def test_a_token_that_is_refused_is_renewed_once_for_all(app, parcels):
    courier("parcel").find("x")
    parcels.expire_tokens()

    def ask():
        with app.app_context():
            courier("parcel").find("x")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert parcels.logins == 2


@pytest.mark.forces("courier_login")
def test_a_failed_log_in_is_not_repeated_for_half_an_hour(app, parcels, configure, turn_clock):
    configure(shiprocket_password="wrong")
    for _ in range(4):
        with pytest.raises(TryLater):
            courier("parcel").find("x")
    assert parcels.logins == 1
    incident = db.session.scalars(select(Incident)).one()
    assert (incident.category, incident.severity) == ("delivery", "high")
    assert "wrong" not in str(incident.context)
    db.session.rollback()
    turn_clock(minutes=31)
    with pytest.raises(TryLater):
        courier("parcel").find("x")
    assert parcels.logins == 2


@sqlite_only
def test_new_credentials_lift_the_hold(app, parcels, configure):
    configure(shiprocket_password="wrong")
    with pytest.raises(TryLater):
        courier("parcel").find("x")
    configure(shiprocket_password="invented-password")
    courier("parcel").find("x")
    assert parcels.logins == 2


def test_a_renewal_that_died_is_taken_over(app, parcels):
    store = StoredToken("parcel")
    with pytest.raises(OutcomeUnknown):
        store.token("a", _never_answers)
    assert store.token("a", lambda: ("fresh", in_future(hours=240))) == "fresh"


def _never_answers():
    raise OutcomeUnknown("no answer in time")


@sqlite_only
def test_a_log_in_on_hold_leaves_the_parcel_waiting_not_failed(
    paid, app, parcels, configure, run_parcels, the_parcel
):
    configure(shiprocket_password="wrong")
    run_parcels()
    configure(shiprocket_password="invented-password")
    run_parcels(ahead=3700)
    assert the_parcel().step == "labelled"
    assert parcels.bad_logins == 1
