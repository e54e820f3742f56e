"""Statements as CSV: columns are known by their headings, as banks in many places name them."""

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from shop.payments.statements.cells import CellError, DecimalMark, mark_of, read_amount, read_day
from shop.payments.statements.rows import (
    MOST_LINES,
    StatementError,
    StatementFile,
    StatementRow,
    bank_id,
    plain_text,
)

HEADER_WITHIN = 40
"""Banks put the account and the period above the headings."""
MOST_COLUMNS = 60

HEADINGS = {
    "date": (
        "booking date", "posting date", "transaction date", "txn date", "tran date", "trans date", "date",
        "completed date", "bokforingsdag", "bokforingsdatum", "transaktionsdag", "transaktionsdatum",
        "buchungstag", "buchungsdatum", "datum", "value date", "valutadatum", "valutadag", "valuta date",
        "wertstellung",
    ),
    "amount": ("amount", "transaction amount", "txn amount", "belopp", "betrag", "umsatz", "montant", "sum"),
    "credit": (
        "credit", "credits", "credit amount", "deposit", "deposits", "deposit amt", "deposit amount",
        "paid in", "money in", "insattning", "haben", "gutschrift", "inflow",
    ),
    "debit": (
        "debit", "debits", "debit amount", "withdrawal", "withdrawals", "withdrawal amt",
        "withdrawal amount", "paid out", "money out", "uttag", "soll", "lastschrift", "outflow",
    ),
    "direction": ("dr/cr", "cr/dr", "dr cr", "cr dr", "debit/credit", "credit/debit", "type", "soll/haben", "s/h", "d/c", "c/d"),
    "currency": ("currency", "ccy", "valuta", "wahrung", "curr", "devise"),
    "account": ("account", "account number", "account no", "kontonummer", "konto", "iban", "own account"),
    "id": (
        "transaction id", "transaction no", "transaction number", "txn id", "tran id", "bank transaction id",
        "bank reference", "bank ref", "utr", "utr no", "utr number", "rrn", "ref no/cheque no", "ref no",
        "chq/ref no", "chq/ref number", "cheque/reference no", "chq no", "cheque no", "entry reference",
        "transaktions-id", "transaktionsid", "verifikationsnummer", "arkivreferens", "session id", "id",
    ),
}  # fmt: skip
TEXTS = (
    "description", "narration", "text", "details", "particulars", "remarks", "remark", "transaction details",
    "transaction remarks", "reference", "payment reference", "customer reference", "message", "memo", "note",
    "remittance information", "payer", "name", "sender", "from", "remitter", "counterparty", "beneficiary",
    "transaktion", "meddelande", "referens", "avsandare", "beskrivning", "rubrik", "verwendungszweck",
    "buchungstext", "auftraggeber", "beguenstigter/zahlungspflichtiger", "kundenreferenz",
)  # fmt: skip
IN = {"CR", "C", "CREDIT", "IN", "H", "HABEN", "+", "INSATTNING", "DEPOSIT"}
OUT = {"DR", "D", "DEBIT", "OUT", "S", "SOLL", "-", "UTTAG", "WITHDRAWAL"}


@dataclass(frozen=True)
class Columns:
    """Where each kind of cell stands; `texts` are all that say who paid and why."""

    at: dict[str, int]
    texts: tuple[int, ...]
    #: From "Amount (INR)", say.
    currency: str | None

    def cell(self, row: Sequence[str], kind: str) -> str:
        """The cell of that kind, empty where the row or the file has none."""
        place = self.at.get(kind)
        return row[place].strip() if place is not None and place < len(row) else ""


def read_csv(text: str, currency: str) -> StatementFile:
    """Read a statement. `currency` is taken where the file names none. Raises StatementError."""
    rows = _rows(text)
    head, columns = _headings(rows)
    found = StatementFile("csv")
    body = rows[head + 1 :]
    mark = _decimal_mark(body, columns)
    for number, row in body:
        if not any(cell.strip() for cell in row):
            continue
        try:
            read = _read(number, row, columns, mark, currency)
        except CellError as error:
            found.fault(number, str(error), " · ".join(row))
            continue
        found.rows.append(read)
    return found


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """All rows with the line on which each begins. Raises StatementError."""
    reader = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text))
    rows: list[tuple[int, list[str]]] = []
    began = 1
    try:
        for row in reader:
            rows.append((began, row[:MOST_COLUMNS]))
            began = reader.line_num + 1
            if len(rows) > MOST_LINES + HEADER_WITHIN:
                raise StatementError(
                    f"The file has more than {MOST_LINES} lines. Bring it in parts."
                )
    except csv.Error as error:
        raise StatementError(
            f"Line {reader.line_num} of the file cannot be read: {error}."
        ) from error
    return rows


def _delimiter(text: str) -> str:
    """The mark between columns: the one by which most lines of the beginning have headings."""
    lines = [line for line in text.splitlines()[:HEADER_WITHIN] if line.strip()]

    def known(delimiter: str) -> int:
        return max((len(_kinds(line.split(delimiter))) for line in lines), default=0)

    return max(";,\t|", key=known)


def _plain(heading: str) -> str:
    """A heading as it is compared: "Chq./Ref.No. " → "chq/ref no"."""
    without = unicodedata.normalize("NFKD", heading.replace("ß", "ss"))
    plain = "".join(letter for letter in without if not unicodedata.combining(letter)).casefold()
    plain = re.sub(r"\(.*?\)|[\"*:#]", " ", plain.replace("_", " ").replace("\ufeff", ""))
    plain = re.sub(r"\s*/\s*", "/", plain.replace(".", " "))
    return re.sub(r"\s+", " ", plain).strip()


def _kinds(row: Sequence[str]) -> dict[str, int]:
    """Which kind of cell stands where, by these headings; of several dates the booking's own."""
    plain = [_plain(cell) for cell in row[:MOST_COLUMNS]]
    kinds = {}
    for kind, names in HEADINGS.items():
        place = next((plain.index(name) for name in names if name in plain), None)
        if place is not None:
            kinds[kind] = place
    return kinds


def _headings(rows: Sequence[tuple[int, list[str]]]) -> tuple[int, Columns]:
    """The row of headings and what it says. Raises StatementError."""
    for index, (_number, row) in enumerate(rows[:HEADER_WITHIN]):
        kinds = _kinds(row)
        if "date" in kinds and {"amount", "credit"} & kinds.keys():
            texts = tuple(at for at, cell in enumerate(row) if _plain(cell) in TEXTS)
            return index, Columns(kinds, texts, _currency_of(row, kinds))
    raise StatementError(
        "No headings were found. The file needs one line that names its columns, among them"
        " a date and an amount (or credit), such as: Date; Amount; Text."
    )


def _currency_of(row: Sequence[str], kinds: dict[str, int]) -> str | None:
    for kind in ("amount", "credit"):
        found = re.search(r"\(([A-Z]{3})\)", row[kinds[kind]]) if kind in kinds else None
        if found:
            return found.group(1)
    return None


def _decimal_mark(body: Sequence[tuple[int, list[str]]], columns: Columns) -> DecimalMark | None:
    """The decimal mark of the whole file, where its amounts agree on one."""
    shown = set()
    for _number, row in body:
        for kind in ("amount", "credit", "debit"):
            try:
                shown.add(mark_of(columns.cell(row, kind)))
            except CellError:
                continue
    marks = shown - {None}
    return marks.pop() if len(marks) == 1 else None


def _read(
    number: int, row: Sequence[str], columns: Columns, mark: DecimalMark | None, currency: str
) -> StatementRow:
    written_day = columns.cell(row, "date")
    if not written_day:
        raise CellError("no date: passed over as a heading or a sum")
    own = (columns.cell(row, "currency") or columns.currency or currency).upper()
    if not re.fullmatch(r"[A-Z]{3}", own):
        raise CellError(f"“{own[:20]}” is not a currency like INR")
    others = [
        row[at] for at in columns.texts if at < len(row) and at not in columns.at.values() and row[at].strip()
    ]  # fmt: skip
    return StatementRow(
        line=number,
        booked_on=read_day(written_day),
        amount_minor=_amount(row, columns, own, mark),
        currency=own,
        text=plain_text(" · ".join(others)),
        bank_id=bank_id(columns.cell(row, "id")),
        account=plain_text(columns.cell(row, "account"))[:60],
    )


def _amount(row: Sequence[str], columns: Columns, currency: str, mark: DecimalMark | None) -> int:
    """Money in is positive. From one column with a sign or a direction, or from two columns."""
    credit, debit = columns.cell(row, "credit"), columns.cell(row, "debit")
    single = columns.cell(row, "amount")
    if single:
        minor = read_amount(single, currency, mark)
        way = _plain(columns.cell(row, "direction")).upper()
        if way in OUT:
            return -abs(minor)
        return abs(minor) if way in IN else minor
    came = read_amount(credit, currency, mark) if credit else 0
    went = read_amount(debit, currency, mark) if debit else 0
    if came and went:
        raise CellError("money in and money out on one line")
    if not credit and not debit:
        raise CellError("no amount")
    return came or -abs(went)
