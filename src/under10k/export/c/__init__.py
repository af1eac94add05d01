"""A trained network as a folder of C99."""
