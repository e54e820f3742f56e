"""The WSGI application: `gunicorn wsgi:app`."""

import gc
import sys

# What is made at the start stays. Looking through it for garbage, again and again as it grows,
# would take an eighth of the start, and every later look a tenth of a second out of a request.
gc.disable()

from shop import create_app  # noqa: E402
from shop.config import ConfigurationError  # noqa: E402

try:
    app = create_app()
except ConfigurationError as error:
    sys.exit(str(error))
gc.freeze()
gc.enable()
