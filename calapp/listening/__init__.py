"""`flask listen`: a server's events on a developer's own machine, by its feed alone; no database, no queue."""
