"""The start page inside JupyterLab's own server, at /start: a Jupyter server extension.

It lives there, and not in a file, so that it can show a solved exercise by itself, and so that no
learner's file is ever overwritten.
"""

from contextlib import suppress
from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import ioloop, web

from tools.desk import ROOT, Desk, Unusable
from tools.start_page import start_page


class StartPage(JupyterHandler):
    def initialize(self, desk):
        self.desk = desk

    @web.authenticated
    def get(self):
        desk = self.desk
        lessons = list(desk.shipped.values())
        page = start_page(lessons, desk.solved(), desk.renewed(), self.base_url, desk.work.name)
        self.finish(page)


def _load_jupyter_server_extension(server):
    desk = Desk(ROOT / "notebooks", Path(server.root_dir))

    def tidy():
        with suppress(OSError, Unusable):  # a full disk must not take the server down
            desk.tidy()

    # A lesson whose copy was deleted or renamed comes back within seconds.
    ioloop.PeriodicCallback(tidy, 1000).start()
    address = url_path_join(server.web_app.settings["base_url"], "start")
    server.web_app.add_handlers(".*$", [(address, StartPage, {"desk": desk})])
