"""What the user holds: traced functions, saving and loading."""
