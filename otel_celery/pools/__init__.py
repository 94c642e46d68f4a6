"""Several worker pools from one small file: started, kept running, stopped together, and looked at."""
