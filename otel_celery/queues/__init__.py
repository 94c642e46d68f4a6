"""Kombu's side of the queues: asks a broker, over connections of its own, how much waits in which queue."""
