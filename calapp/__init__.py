"""Calapp: a booking app whose webhooks people can rely on.

Read the packages in the order in which they may import each other, lowest first:

* `config`, `clock`, `errors`, `limits`, `addresses`, `text`: settings, time, what can go wrong, how many of
  each thing there may be, address rules, clean texts
* `logs`: lines of the log without secrets
* `db`: the database object, the instant type and `transaction()`, the only place that commits
* `broker`: the Valkey or Redis behind the queue
* `incoming`, `htmx`, `error_pages`, `rate_limits`, `rest`, `mail`: how requests are read, how answers
  look, how many requests, and mails out
* `accounts`: who; `availability`: when; `event_types`: what can be booked
* `webhooks`: who asked to be told; `deliveries`: telling them; `bookings`: what happens
* `integrations`: the page that brings them together
* `monitoring`: /healthz, /metrics, the log of requests; `privacy`: erase and export
* `cli`, `worker` and `serving`: the commands, the worker process and how long the web waits, on top of all
"""

__version__ = "1.0.0"
