"""Derivations of files from tables, one module per kind of file."""
