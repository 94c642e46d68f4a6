"""Read the environment: declare each variable, parse it, and make frozen Settings."""
