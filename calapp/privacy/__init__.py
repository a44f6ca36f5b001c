"""What an operator does for those whose data this is: erase a visitor, let a host take it along."""
