"""The WSGI application: `gunicorn wsgi:app`."""

import sys

from shop import create_app
from shop.config import ConfigurationError

try:
    app = create_app()
except ConfigurationError as error:
    sys.exit(str(error))
