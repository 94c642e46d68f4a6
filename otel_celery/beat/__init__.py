"""Beat: a class in front of the scheduler's own, which tells when it ticks, and what it sends and how late."""
