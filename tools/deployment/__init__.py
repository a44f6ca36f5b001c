"""The steps of docs/deployment.md on a new Debian, run as they are written."""
