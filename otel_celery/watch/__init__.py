"""A fleet seen from outside: its endpoints are found, asked all at once, and told as plain values; no screen here."""
