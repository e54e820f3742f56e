"""When a count crosses a line that somebody waits for: there are some again, or only few are left.

Who hears of it is no matter of the shelf: jobs by these names tell them.
"""

from shop.clock import local, utcnow
from shop.jobs.queue import enqueue


def came_back(variant_id: int, free_before: int, free_now: int) -> None:
    """Nothing could be sold, and now something can. In the caller's transaction."""
    if free_before <= 0 < free_now:
        enqueue("messaging.back_in_stock", {"variant_id": variant_id}, key=str(variant_id))


def ran_low(variant_id: int, on_hand_before: int, on_hand_now: int, threshold: int) -> None:
    """The shelf fell to its threshold; told once a day for a variant. In the caller's transaction."""
    if on_hand_now <= threshold < on_hand_before:
        day = f"{local(utcnow()):%Y-%m-%d}"
        wish = {"event": "low_stock", "variant_id": variant_id, "crossed": day}
        enqueue("messaging.tell", wish, key=f"low_stock:{variant_id}:{day}")
