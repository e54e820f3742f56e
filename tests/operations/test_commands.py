"""`flask shop …`: the operator's hands."""

import csv
import io
import sqlite3
import subprocess

import pytest
import sqlalchemy as sa

from shop.accounts.models import Role, User
from shop.audit.models import AuditEntry
from shop.catalog.models import Product, Variant, VariantPrice
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import cancel, enqueue
from shop.operations.exchange import PRODUCT_COLUMNS, plain_cell, safe_cell
from shop.stock.models import StockLevel
from tests.factories import make_order, make_product


@pytest.fixture
def flask_shop(app):
    """Runs a command and returns its result."""
    runner = app.test_cli_runner()

    def run(*args, code=0, **more):
        result = runner.invoke(args=["shop", *map(str, args)], **more)
        assert result.exit_code == code, result.output + repr(result.exception)
        db.session.rollback()
        return result

    return run


def count(model):
    return db.session.scalar(sa.select(sa.func.count()).select_from(model))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_demo_is_filled_in_once(flask_shop):
    told = flask_shop("demo").stdout
    products, people = count(Product), count(User)
    again = flask_shop("demo").stdout

    assert told == again
    assert "Sign in as owner" in told
    assert (count(Product), count(User)) == (products, people)
    assert products > 10


def test_the_first_owner_is_made_with_a_good_password_only(flask_shop):
    flask_shop("create-admin", "Boss@Shop.example", input="short\n", code=1)
    assert count(User) == 0

    flask_shop("create-admin", "Boss@Shop.example", input="a long walk on the beach\n")

    owner = db.session.scalars(sa.select(User)).one()
    assert (owner.email, owner.role) == ("boss@shop.example", Role.OWNER)
    flask_shop("create-admin", "boss@shop.example", input="a long walk on the beach\n", code=1)


def test_jobs_are_listed_and_tried_again(flask_shop):
    with transaction():
        job_id = enqueue("retention.run")
        cancel(job_id)

    assert "cancelled" in flask_shop("jobs").output
    flask_shop("retry-job", job_id)
    assert db.session.get_one(Job, job_id).status == JobStatus.QUEUED
    flask_shop("retry-job", job_id, code=1)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_message_that_is_not_there_cannot_be_replayed(flask_shop):
    flask_shop("replay-webhook", 12345, code=1)


def test_right_books_pass_the_audit(flask_shop):
    make_order("paid")
    assert "The books are right." in flask_shop("audit").output


@pytest.mark.breaks_books
def test_wrong_books_end_with_1_and_name_the_row(flask_shop):
    make_product(stock=5)
    with transaction() as session:
        session.execute(sa.update(StockLevel).values(on_hand=6))
    assert "I10" in flask_shop("audit", code=1).output


def test_gateways_are_asked_for_what_was_missed(flask_shop):
    assert "succeeded" in flask_shop("reconcile", "--since", 2).output


def test_a_copy_is_made_while_the_shop_runs(flask_shop, tmp_path, engine):
    make_product("Copied ball")
    target = tmp_path / "copy"

    flask_shop("backup", target)

    assert target.stat().st_mode & 0o077 == 0
    if engine == "sqlite":
        with sqlite3.connect(target) as copy:
            assert copy.execute("SELECT name FROM products").fetchall() == [("Copied ball",)]
    else:
        listed = subprocess.run(["pg_restore", "--list", target], capture_output=True, text=True)
        assert "TABLE DATA public products" in listed.stdout
    flask_shop("backup", target, code=1)


def test_products_go_out_and_come_back_the_same(flask_shop, tmp_path):
    make_product("Ball", variants=2, price=129_900, compare_at=149_900)
    make_product("=HYPERLINK()", stock=0)
    out = flask_shop("export-products").stdout
    file = tmp_path / "products.csv"
    file.write_text(out)

    flask_shop("import-products", file)

    assert flask_shop("export-products").stdout == out
    assert (count(Product), count(Variant)) == (2, 3)
    assert "'=HYPERLINK()" in out


def row(**changes):
    values = dict.fromkeys(PRODUCT_COLUMNS, "")
    values |= {
        "slug": "new", "name": "New", "status": "active", "category": "Balls", "brand": "Halflong",
        "seller": "Halflong", "sku": "N-1", "price": "1,299.00", "on_hand": "7", "options": '{"Size": "9"}',
    }  # fmt: skip
    return values | changes


def written(path, *rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, PRODUCT_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_new_products_are_made_with_price_stock_and_ledger(flask_shop, tmp_path):
    flask_shop("import-products", written(tmp_path / "a.csv", row()))

    assert db.session.scalar(sa.select(VariantPrice.amount_minor)) == 129_900
    assert db.session.scalar(sa.select(StockLevel.on_hand)) == 7
    actions = db.session.scalars(sa.select(AuditEntry.action)).all()
    assert {"products.imported", "price.changed"} <= set(actions)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_bad_row_and_nothing_is_imported(flask_shop, tmp_path):
    bad = [
        row(),
        row(sku="N-2", price="-5"),
        row(sku="N-3", on_hand="many"),
        row(sku="N-4", status="x"),
    ]
    result = flask_shop("import-products", written(tmp_path / "a.csv", *bad), code=1)

    for line in ("line 3", "line 4", "line 5"):
        assert line in result.output
    assert count(Product) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_file_with_other_columns_is_refused(flask_shop, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("sku,price\nA,1\n")
    assert "columns" in flask_shop("import-products", file, code=1).output


def test_orders_go_out_as_csv_and_the_audit_knows(flask_shop):
    order = make_order("paid")
    number, email = order.number, order.email

    rows = list(csv.DictReader(io.StringIO(flask_shop("export-orders").stdout)))

    assert [(r["number"], r["email"], r["status"]) for r in rows] == [(number, email, "paid")]
    assert rows[0]["phone"].startswith("'+91")
    assert "orders.exported" in db.session.scalars(sa.select(AuditEntry.action)).all()


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "−1"])
def test_s69_no_cell_is_a_formula(cell):
    assert safe_cell(cell) == "'" + cell
    assert plain_cell(safe_cell(cell)) == cell


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_settings_are_printed_for_readme_and_env_file(flask_shop):
    assert "| shop | `PUBLIC_URL` |" in flask_shop("settings-table").output
    assert "# PUBLIC_URL=http://127.0.0.1:8000" in flask_shop("settings-table", "--env").output
