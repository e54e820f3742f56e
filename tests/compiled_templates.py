"""Templates compiled once for many test processes."""

from importlib.metadata import version
from pathlib import Path

from jinja2 import FileSystemBytecodeCache

HERE = Path(__file__).parent


class CompiledTemplates(FileSystemBytecodeCache):
    """Templates lie compiled for all test processes and the next run, as Python's own files do.

    They are compiled anew when the shop's code is newer: its filters and settings are part of them.
    """

    def __init__(self) -> None:
        kept = HERE / "__pycache__" / f"templates-{version('jinja2')}"
        kept.mkdir(parents=True, exist_ok=True)
        super().__init__(str(kept))
        code = (HERE.parent / "shop").rglob("*.py")
        self.newest = max(file.stat().st_mtime_ns for file in code)

    def get_source_checksum(self, source: str) -> str:
        """What changes with the template and with the code."""
        return super().get_source_checksum(f"{self.newest}{source}")
