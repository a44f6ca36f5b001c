"""How it is doing: /healthz, /metrics, and a line of the log for each request."""
