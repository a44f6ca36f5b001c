"""Who: users, sign-in, API keys."""
