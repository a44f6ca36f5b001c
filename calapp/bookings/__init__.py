"""What happens: a booking and its life."""
