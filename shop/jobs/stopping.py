"""How a worker process ends: at SIGTERM it takes no more, and the job in hand has 30 seconds."""

import signal
import threading
from types import FrameType

from shop.jobs import runner

GRACE_SECONDS = 30


class Stopping:
    """Whether this process was asked to stop. The main thread runs the jobs; others may only look."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def watch_signals(self) -> None:
        """Let SIGTERM and SIGINT ask. Called in the main thread."""
        signal.signal(signal.SIGTERM, self.on_signal)
        signal.signal(signal.SIGINT, self.on_signal)
        signal.signal(signal.SIGUSR1, self._grace_is_over)

    def on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        """Asked from outside."""
        self.ask()

    def ask(self) -> None:
        """Take no more jobs; end the one in hand when the grace is over."""
        if self._asked.is_set():
            return
        self._asked.set()
        timer = threading.Timer(GRACE_SECONDS, self._interrupt)
        timer.daemon = True
        timer.start()

    @property
    def is_asked(self) -> bool:
        """True from the first signal on."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past being asked. True when asked."""
        return self._asked.wait(seconds)

    def _interrupt(self) -> None:
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGUSR1)

    def _grace_is_over(self, _signal: int, _frame: FrameType | None) -> None:
        if threading.get_ident() in runner.held:
            raise runner.Stopped
