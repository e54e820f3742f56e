"""Writing a message from what is committed now, and making of it what its channel sends."""

from typing import Any

from shop.messaging import rendering
from shop.messaging.channels.base import Outgoing
from shop.messaging.models import Notification
from shop.messaging.stop_links import stop_url
from shop.messaging.subjects import subject_of


def written(found: Notification) -> dict[str, Any]:
    """The columns that hold what it says. Raises KeyError where its channel has no words for it.

    What WhatsApp is told goes into the context: a template's name and values, not a text.
    """
    about, context = subject_of(found), {**found.context, "notification_id": found.id}
    if found.channel == "sms":
        text = rendering.render_sms(found.template, about, context, found.locale)
        return {"subject": text[:250], "body_text": text}
    if found.channel == "whatsapp":
        return _of_whatsapp(found, rendering.whatsapp(found.template, about, context, found.locale))
    made = rendering.render(found.template, about, context, found.locale)
    return {"subject": made.subject, "body_text": made.text, "body_html": made.html}


def _of_whatsapp(found: Notification, made: rendering.WhatsApp) -> dict[str, Any]:
    told = [list(pair) for pair in made.parameters]
    kept = {"template": made.name, "language": made.language, "parameters": told}
    return {
        "subject": made.name,
        "body_text": "\n".join(f"{name}: {value}" for name, value in made.parameters),
        "context": {**found.context, "whatsapp": kept},
    }


def outgoing(found: Notification, is_stoppable: bool) -> Outgoing:
    """What its channel hands over: the same each time, since it is made of what was stored."""
    sent = found.context.get("whatsapp", {})
    return Outgoing(
        recipient=found.recipient, message_id=found.message_id or "", subject=found.subject,
        text=found.body_text or "", html=found.body_html or "", template=sent.get("template", ""),
        language=sent.get("language", found.locale),
        parameters=tuple((name, value) for name, value in sent.get("parameters", [])),
        unsubscribe_url=stop_url(found.id) if is_stoppable else "",
    )  # fmt: skip
