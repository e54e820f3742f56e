"""Contact data stays in an incident no longer than it is needed."""

import pytest

from shop.checkout import account_data
from shop.database import transaction
from shop.extensions import db
from shop.incidents import forgetting, handling
from shop.incidents.models import Incident
from tests import factories


def context_of(incident_id):
    db.session.rollback()
    return db.session.get_one(Incident, incident_id).context


def test_half_a_year_after_it_was_resolved_only_the_facts_stay(app, opened, turn_clock):
    order = factories.make_order()
    done, still_open = opened("x:1", order_id=order.id).id, opened("x:2", order_id=order.id).id
    with transaction():
        handling.resolve(done, "user:1")
    turn_clock(days=179)
    assert forgetting.forget_old() == 0
    turn_clock(days=2)
    with transaction():
        assert forgetting.forget_old() == 1
    assert "customerEmail" not in context_of(done)
    assert context_of(done)["orderId"] == order.number
    assert "customerEmail" in context_of(still_open)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_closes_the_account_is_named_in_no_incident(app, opened):
    person = factories.make_user("customer")
    order = factories.make_order(user=person)
    of_somebody_else = opened(
        "x:2", order_id=factories.make_order().id, error="no such street"
    ).id  # fmt: skip
    incident = opened("x:1", order_id=order.id, error="Flat 4, Hill Road", stack="Traceback").id
    told = account_data.everything_about(person.id)["incidents"]
    assert [one["issue"] for one in told] == ["The courier said no"]
    with transaction():
        account_data.erase(person.id)
    assert not {"customerEmail", "customerPhone"} & set(context_of(incident))
    held = db.session.get_one(Incident, incident)
    assert (held.error_message, held.error_stack) == ("", "")
    assert "customerEmail" in context_of(of_somebody_else)
    assert db.session.get_one(Incident, of_somebody_else).error_message == "no such street"
