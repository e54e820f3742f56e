"""Ledgers are append-only: triggers refuse UPDATE and DELETE.

Of an audit entry only the network address may be blanked, which retention does.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("audit_entries", "stock_movements", "payment_events", "gift_card_entries")
AUDIT_KEPT = ("id", "created_at", "actor", "user_id", "action", "subject", "request_id")


def upgrade():
    if op.get_bind().dialect.name == "sqlite":
        _upgrade_sqlite()
    else:
        _upgrade_postgresql()


def _upgrade_sqlite():
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    for table in TABLES[1:]:
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in (*AUDIT_KEPT, "before", "after"))
    op.execute(
        "CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries "
        f"WHEN NEW.address IS NOT NULL OR {changed} "
        "BEGIN SELECT RAISE(ABORT, 'audit_entries is append-only'); END"
    )


def _upgrade_postgresql():
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    for table in TABLES[1:]:
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in AUDIT_KEPT)
    changed += "".join(
        f" OR NEW.{name}::text IS DISTINCT FROM OLD.{name}::text" for name in ("before", "after")
    )
    op.execute(
        "CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries FOR EACH ROW "
        f"WHEN (NEW.address IS NOT NULL OR {changed}) EXECUTE FUNCTION refuse_change()"
    )


def downgrade():
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in TABLES:
        for what in ("delete", "update"):
            on_table = "" if on_sqlite else f" ON {table}"
            op.execute(f"DROP TRIGGER {table}_no_{what}{on_table}")
    if not on_sqlite:
        op.execute("DROP FUNCTION refuse_change()")
