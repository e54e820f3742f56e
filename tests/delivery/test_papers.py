"""Label, manifest and invoice are fetched once, kept privately, and forgotten in the end."""

import pytest
from sqlalchemy import select

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import papers
from shop.delivery.models import ShipmentStatus
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def the_incident():
    return db.session.scalars(select(Incident).where(Incident.fingerprint.like("job:%"))).one()


def test_all_papers_are_fetched_once_and_kept(paid, parcels, run_jobs, the_parcel):
    parcels.manifest_lags = 1
    run_jobs()
    assert papers.read(the_parcel().label_key).startswith(b"%PDF-")
    assert the_parcel().manifest_key is None
    run_jobs(ahead=60)
    parcel = the_parcel()
    kept = [papers.key_of(parcel, kind) for kind in papers.KINDS]
    assert all(papers.read(key).startswith(b"%PDF-") for key in kept)
    assert len(set(kept)) == 3
    with transaction():
        for kind in papers.KINDS:
            enqueue("delivery.keep_paper", {"shipment_id": parcel.id, "kind": kind})
    run_jobs()
    assert [len(parcels.done(kind)) for kind in papers.KINDS] == [1, 1, 1]
    assert parcel.applied_grams == 720


@sqlite_only
def test_a_manifest_made_before_is_printed(paid, parcels, run_jobs, the_parcel):
    parcels.fault("half_body", path="/v1/external/manifests/generate")
    run_jobs()
    run_jobs(ahead=60)
    assert papers.read(the_parcel().manifest_key).startswith(b"%PDF-")
    assert len(parcels.done("manifest")) == 1


@sqlite_only
def test_a_page_of_words_is_no_paper(paid, parcels, run_jobs, the_parcel):
    parcels.fault("garbage", method="GET", path="/v1/external/papers/invoice")
    run_jobs()
    assert the_parcel().invoice_key is None
    assert "is no PDF" in the_incident().error_message
    assert the_incident().severity == "low"


def test_papers_are_forgotten_ninety_days_after_the_parcels_end(
    paid, parcels, run_jobs, the_parcel, turn_clock
):
    run_jobs()
    assert papers.forget_old() == 0
    kept = [papers.key_of(the_parcel(), kind) for kind in papers.KINDS]
    with transaction():
        parcel = the_parcel()
        parcel.status, parcel.status_at = ShipmentStatus.DELIVERED, utcnow()
    turn_clock(days=89)
    assert papers.forget_old() == 0
    turn_clock(days=2)
    with transaction():
        enqueue("retention.run")
    run_jobs()
    assert [papers.key_of(the_parcel(), kind) for kind in papers.KINDS] == [None] * 3
    assert not any(papers._path(key).exists() for key in kept)
