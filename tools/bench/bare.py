"""The limit to compare with: a loop around libcurl that signs and sends and does nothing else.

`python -m tools.bench.bare URL COUNT` prints the seconds and the CPU seconds that it took as JSON.
"""

import json
import sys
import time
from collections.abc import Iterable

import pycurl

from calapp.clock import now
from calapp.deliveries.signing import request_headers
from tools.bench.ground import BODY, SECRET

IN_FLIGHT = 64  # as many as a worker has out to one endpoint


def load(handle: pycurl.Curl, number: int) -> None:
    """Sign a request and give it to a handle."""
    body = BODY.encode()
    headers = request_headers(
        f"evt_bare{number}",
        body,
        at=now(),
        secrets=[SECRET],
        custom=[],
        number=1,
        content_type="application/json",
    )
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers])
    handle.setopt(pycurl.POSTFIELDS, body)


def handles(url: str) -> Iterable[pycurl.Curl]:
    """Make as many handles as are in flight."""
    for _ in range(IN_FLIGHT):
        handle = pycurl.Curl()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.WRITEFUNCTION, lambda data: None)
        yield handle


def send(url: str, count: int) -> None:
    """Send so many requests, each handle again as soon as it is answered."""
    multi = pycurl.CurlMulti()
    sent = 0
    idle = list(handles(url))
    out = 0
    while sent < count or out:
        while idle and sent < count:
            handle = idle.pop()
            sent, out = sent + 1, out + 1
            load(handle, sent)
            multi.add_handle(handle)
        multi.perform()
        _, finished, failed = multi.info_read()
        for handle in (*finished, *(one[0] for one in failed)):
            multi.remove_handle(handle)
            idle.append(handle)
            out -= 1
        if out and not finished:
            multi.select(1.0)


if __name__ == "__main__":
    send(sys.argv[1], 100)  # opens the connections
    began, cpu = time.monotonic(), time.process_time()
    send(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}))
