"""The couriers: one table, one file each. `parcel` is Shiprocket, whose panel refuses its own name in addresses."""

from importlib import import_module

from shop.delivery.courier_tokens import StoredToken
from shop.delivery.couriers.base import Courier
from shop.errors import NotFound

COURIERS = {
    "sandbox": "shop.delivery.couriers.sandbox:SandboxCourier",
    "parcel": "shop.delivery.couriers.shiprocket:Shiprocket",
    "manual": "shop.delivery.couriers.manual:ManualCourier",
}


def courier(key: str) -> Courier:
    """The courier of that key. Raises NotFound."""
    if key not in COURIERS:
        raise NotFound("There is no such courier.")
    module, _, name = COURIERS[key].partition(":")
    made: Courier = getattr(import_module(module), name)(StoredToken(key))
    return made
