"""What both sides of the relay agree on."""
