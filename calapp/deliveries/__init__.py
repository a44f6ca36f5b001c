"""Telling them: the outbox and the delivery engine."""
