"""What metrics and spans share on their way out."""
