"""The relay's side in a pool child."""
