"""From a file's bytes to its bookings: what kind of file it is, and in which letters."""

import codecs
from dataclasses import replace

from shop.payments.gateways.transfer_reference import references_in
from shop.payments.statements.csv_files import read_csv
from shop.payments.statements.mt940_files import looks_like_mt940, read_mt940
from shop.payments.statements.rows import StatementError, StatementFile, StatementRow

MOST_BYTES = 900 * 1024
"""Some 5,000 lines; the whole form must stay below what the shop takes in one request."""

MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_statement(data: bytes, currency: str) -> StatementFile:
    """Read a CSV or MT940 file. `currency` is taken where the file names none.

    Raises StatementError, in words for the person who brought it.
    """
    if not data.strip():
        raise StatementError("The file is empty.")
    if len(data) > MOST_BYTES:
        raise StatementError(f"The file is larger than {MOST_BYTES // 1024} kB. Bring it in parts.")
    text = _decoded(data)
    if "\x00" in text or data.startswith((b"PK\x03\x04", b"%PDF", b"\xd0\xcf\x11\xe0")):
        raise StatementError(
            "This is not a text file. Save the statement as CSV or MT940 at your bank, not as Excel or PDF."
        )
    found = read_mt940(text, currency) if looks_like_mt940(text) else read_csv(text, currency)
    if not found.rows and not found.faults:
        raise StatementError("The file holds no bookings.")
    found.rows = [_searched(row) for row in found.rows]
    return found


def _searched(row: StatementRow) -> StatementRow:
    """The row with what may be references: searched for here, where no transaction waits."""
    if row.amount_minor <= 0:
        return row
    return replace(row, references=tuple(references_in(f"{row.text} | {row.bank_id or ''}")))


def _decoded(data: bytes) -> str:
    """UTF-8 or UTF-16 by their marks, UTF-8 where it fits, else the letters of Windows."""
    for mark, encoding in MARKED:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
