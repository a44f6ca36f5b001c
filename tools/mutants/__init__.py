"""Seeded faults in the delivery engine, and whether the simulation catches them."""
