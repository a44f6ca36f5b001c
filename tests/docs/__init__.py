"""The documents: what is generated in them (`python -m tests.docs`), and tests that hold all of it true."""
