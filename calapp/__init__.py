"""Calapp: a booking app whose webhooks people can rely on.

Read the packages in the order in which they may import each other, lowest first:

* `config`, `clock`, `errors`, `limits`, `text`, `local_time`: settings, time, what can go wrong, how many of
  each thing there may be, clean texts, zones and times as people read them
* `addresses`, `encryption`: URLs as they are sent and the address guard, secrets at rest
* `tracing`, `logs`, `counters`: the trace from a request to a receiver and its spans for OpenTelemetry, lines
  of the log without secrets, what this process counts for /metrics
* `direct`: the database driver without sessions, for who does little but statements
* `db`: the database object, the instant type and `transaction()`, the only place that commits; `statements`:
  those that every booking page sends, and batches, as the driver takes them; `objects`: the ORM's, by them
* `broker`, `embedded_valkey`: the Valkey or Redis behind the queue, and the one that comes with Calapp
* `incoming`, `htmx`, `error_pages`, `static_files`, `rest`, `mail`: how requests are read and how many, how
  responses look and are compressed, the API's own machinery, and emails
* `accounts`: who; `availability`: when; `event_types`: what can be booked
* `webhooks`: who asked to be told; `deliveries`: telling them; `calendars`: what takes their time elsewhere
* `bookings`: what happens
* `integrations`: the page that brings them together
* `monitoring`: /healthz, /metrics, the log of requests; `privacy`: erase and export
* `maintenance`, `worker`, `listen`, `cli`, `website`, `serving`, `launcher`: the processes, the commands and
  the table of contents of all that answers requests, on top
"""

__version__ = "1.1.0"
