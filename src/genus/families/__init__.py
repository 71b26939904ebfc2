"""Abstract families: each turns the few methods that a model writes into all of its verbs."""
