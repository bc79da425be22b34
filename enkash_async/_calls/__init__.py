"""One pure function for each call that EnKash documents: it checks the arguments and returns an `Operation`."""
