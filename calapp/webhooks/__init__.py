"""Webhooks: which events are sent to which URL, and how that endpoint is doing."""
