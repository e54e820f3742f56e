"""Proving the books: money and stock conserved, every invariant that has its table.

Each proof is one line of reliability.md that is marked there; a fault names the line and the row.
"""

from shop.books.proofs import PROOFS, faults

__all__ = ["PROOFS", "faults"]
