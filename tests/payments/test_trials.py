"""Trying a gateway: the harmless call goes well at every provider, and each failure has its words."""

import socket

import pytest

from shop.clock import in_future
from shop.payments import trials
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.trials import Trial

# No row is read or written by the call.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

ONLINE = [key for key in GATEWAYS if gateway(key).is_online]


def tried(key):
    assert trials.why_not(key) is None
    return Trial().call((key, in_future(hours=-1)))


@pytest.mark.parametrize("key", ONLINE)
def test_the_call_only_reads_and_goes_well_where_the_key_fits(side_of, key):
    side = side_of(key)
    assert tried(key) == trials.Result(True, "It answered, and the key is good.")
    if key != "sandbox":
        assert {method for method, _path, _more in side.server.requests} == {"GET"}


@pytest.mark.parametrize("key", [key for key in ONLINE if key not in {"sandbox", "swish"}])
def test_a_wrong_key_is_named_by_its_setting_and_never_shown(side_of, configure, key):
    side = side_of(key)
    configure(**side.wrong)
    result = tried(key)
    assert not result.is_good
    assert result.words.startswith("It turned the call down: ")
    ((setting, wrong),) = side.wrong.items()
    assert setting.upper() in result.words
    assert wrong not in result.words


def test_a_provider_that_does_not_answer_is_told_apart(side_of, configure):
    side = side_of("paystack")
    side.server.fault("garbage", method="GET")
    assert tried("paystack").words.startswith("No answer that can be used")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        configure(paystack_api_base=f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert tried("paystack").words == "Not reached: could not connect."
        for _ in range(5):
            result = tried("paystack")
    assert "left alone for half a minute" in result.words


def test_a_certificate_that_is_no_file_is_told(side_of, configure):
    side_of("swish")
    configure(swish_cert_file="/nowhere/cert.pem")
    assert "SWISH_CERT_FILE is no file" in tried("swish").words
