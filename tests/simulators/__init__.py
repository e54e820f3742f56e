"""Stand-ins for outside parties, written from the parties' own documents.

They import nothing from shop/, so that a misreading of a document cannot hide on both sides.
"""
