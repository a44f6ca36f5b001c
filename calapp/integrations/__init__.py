"""The page that brings webhooks, feeds, keys and the inspector together."""
