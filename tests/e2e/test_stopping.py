"""A client that takes a connection and never answers does not keep the daemon from stopping."""

from __future__ import annotations

import socket

from stage import DaemonProcess


def test_stops_while_it_waits_for_its_first_answer(place):
    daemon = DaemonProcess(place)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place.write_rules(f"http://127.0.0.1:{silent.getsockname()[1]}")
        daemon.start()
        try:
            silent.settimeout(60)
            connection, _ = silent.accept()
            with connection:
                assert daemon.stop() == 0
        finally:
            daemon.close()
