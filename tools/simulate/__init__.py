"""A seeded walk through what can happen to deliveries, with simulated time and receivers."""
