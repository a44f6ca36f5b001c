"""The host's own calendars: read from elsewhere, so that nobody books what is taken there."""
