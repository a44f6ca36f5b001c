"""Hours of real processes that are killed at random, and an outside witness that counts."""
