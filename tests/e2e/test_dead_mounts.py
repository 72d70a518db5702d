"""A daemon that is started while one of its folders is on a server that does not answer."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from mounting import CAN_MOUNT, FuseServer
from stage import DaemonProcess, stop_signal, wait_until

from hydrusd.testing import paint

RULES = """\
  - name: from the server
    on:
      watch_folder: {{path: inbox, include: ["*.jpg", "album/*.png"], settle: {settle}}}
    do:
      - add_file:
  - name: from here
    on:
      watch_folder: {{path: here, settle: {settle}}}
    do:
      - add_file:
"""

if CAN_MOUNT:

    def test_it_starts_works_and_stops(place, simulator, settle):
        (place.folder / "here").mkdir()
        (place.folder / "here" / "a.jpg").write_bytes(paint("a.jpg"))
        url = (place.folder / "rules.yaml").read_text().partition("url: ")[2].partition("\n")[0]
        place.write_rules(url, rules=RULES, settle=settle)
        server, daemon = FuseServer(place.inbox), DaemonProcess(place)
        server.files["b.jpg"] = paint("b.jpg")
        server.answering.clear()
        try:
            daemon.start()
            wait_until(lambda: daemon.said(" started "), "it started", seconds=20)
            wait_until(lambda: len(simulator.files) == 1, "the other rule works", seconds=20)
            daemon.running().send_signal(stop_signal())
            wait_until(lambda: daemon.said(" stopped"), "it stopped", seconds=20)
            # Linux lets go of a process only when the server says something.
            server.answering.set()
            assert daemon.process.wait(20) == 0
            daemon.start()
            wait_until(lambda: len(simulator.files) == 2, "the server's file came", seconds=20)
            assert daemon.stop() == 0
        finally:
            server.close()
            daemon.close()
        assert len(simulator.files) == 2
