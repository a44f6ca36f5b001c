"""The documents: what is generated in them (`python -m tools.docs`), and tests that hold all of it true."""
