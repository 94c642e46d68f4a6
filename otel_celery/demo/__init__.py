"""A small trading house: an app whose five pools work under a made-up load, to look at what the ports say."""
