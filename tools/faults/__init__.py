"""Experiments that kill, stop and starve every part of a running Calapp, and count what is lost."""
