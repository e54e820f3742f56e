"""What gunicorn reads by itself. Everything else stands in the Procfile."""

import os


def child_exit(server, worker):
    """Take a dead process out of the shared counts."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)
