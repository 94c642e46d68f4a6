"""Everything that is read from the environment."""
