"""What forked visitors find done: addresses and the booker's templates are compiled when this is imported."""

import tempfile
from pathlib import Path

from app import create_app
from calapp import config
from tests import quick

quick.compile_routes_once()
quick.compile_templates_once()

with tempfile.TemporaryDirectory() as folder:
    app = create_app(config.prepare({}, data_dir=Path(folder)))
for name in app.jinja_env.list_templates():
    if "/" not in name or Path(name).parent == Path("bookings"):
        app.jinja_env.get_template(name)
