"""What clients written in Python share."""
