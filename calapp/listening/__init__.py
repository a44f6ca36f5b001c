"""`flask listen`: the events of a server on a developer's own machine; needs no database and no queue."""
