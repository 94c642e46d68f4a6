"""The relay's side in a pool's child."""
