"""The papers of the stand-in for Shiprocket: label, manifest, invoice, and label with invoice."""

from collections.abc import Callable
from typing import Any

from werkzeug import Request, Response

from tests.simulators.shiprocket_objects import answer

LABELLED_AT_ONCE = 200


class Papers:
    """A part of the stand-in; its orders are the stand-in's."""

    base: str
    orders: dict[int, dict[str, Any]]
    effects: list[tuple[str, str]]
    label_lags: int
    manifest_lags: int
    of_shipment: Callable[[Any], dict[str, Any] | None]
    json_of: Callable[[Request], dict[str, Any]]

    def paper_routes(self) -> dict[tuple[str, str], Callable[..., Response]]:
        """Where they are asked for."""
        return {
            ("POST", "/courier/generate/label"): self._label,
            ("POST", "/courier/generate/label-invoice"): self._label_invoice,
            ("POST", "/manifests/generate"): self._manifest,
            ("POST", "/manifests/print"): self._print_manifest,
            ("POST", "/orders/print/invoice"): self._invoice,
        }

    def _label(self, request: Request) -> Response:
        """It lags the waybill number: HTTP 200 with nothing made."""
        ids = self.json_of(request).get("shipment_id")
        if not isinstance(ids, list):
            words = "The shipment id must be an array."
            errors = {"shipment_id": [words]}
            return answer({"message": words, "errors": errors, "status_code": 422}, 422)
        order = self.of_shipment(ids[0])
        if order is None or not order["awb"] or self.label_lags > 0:
            self.label_lags -= 1
            words = "No valid shipment ids to print label"
            return answer({"label_created": 0, "not_created": [], "response": words})
        self.effects.append(("label", order["reference"]))
        url = f"{self.base}/papers/label-{order['awb']}.pdf"
        return answer({"label_created": 1, "label_url": url, "response": "Label has been created"})

    def _label_invoice(self, request: Request) -> Response:
        """ "Completed" does not mean that every shipment worked."""
        ids = self.json_of(request).get("shipment_ids", [])[:LABELLED_AT_ONCE]
        done = [one for one in map(self.of_shipment, ids) if one and one["awb"]]
        url = f"{self.base}/papers/labels.pdf"
        return answer(
            {
                "completed": True, "file_url": url if done else "", "success_count": len(done),
                "error_count": len(ids) - len(done), "error_file_url": "",
            }
        )  # fmt: skip

    def _manifest(self, request: Request) -> Response:
        """Not ready yet: HTTP 200, status 1, and an empty address."""
        ids = self.json_of(request).get("shipment_id", [])
        orders = [one for one in map(self.of_shipment, ids) if one and one["token_number"]]
        known = [one["shipment_id"] for one in orders if one["manifested"]]
        if known:
            words = "Manifest already generated for some shipment_ids, Please try again after removin them"
            return answer(
                {"message": words, "status_code": 400, "already_manifested_shipment_ids": known},
                400,
            )
        if not orders or self.manifest_lags > 0:
            self.manifest_lags -= 1
            return answer({"status": 1, "manifest_url": ""})
        for order in orders:
            order["manifested"] = True
            self.effects.append(("manifest", order["reference"]))
        return answer({"status": 1, "manifest_url": self._manifest_url(orders[0])})

    def _print_manifest(self, request: Request) -> Response:
        ids = self.json_of(request).get("order_ids", [])
        order = self.orders.get(ids[0]) if ids else None
        if order is None or not order["manifested"]:
            return answer({"message": "Manifest not generated", "status_code": 400}, 400)
        return answer({"manifest_url": self._manifest_url(order)})

    def _manifest_url(self, order: dict[str, Any]) -> str:
        return f"{self.base}/papers/manifest-{order['id']}.pdf"

    def _invoice(self, request: Request) -> Response:
        ids = self.json_of(request).get("ids")
        if not isinstance(ids, list):
            words = "Invalid argument supplied for foreach()"
            return answer({"message": words, "status_code": 500}, 500)
        order = self.orders.get(ids[0]) if ids else None
        if order is None:
            words = "Invoice could not be created"
            return answer({"is_invoice_created": False, "message": words, "not_created": []}, 400)
        self.effects.append(("invoice", order["reference"]))
        url = f"{self.base}/papers/invoice-{order['id']}.pdf"
        return answer({"is_invoice_created": True, "invoice_url": url, "not_created": []})
