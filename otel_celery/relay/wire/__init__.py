"""The protocol between the main process and its children."""
