"""The command line `unmoor`: looks into files, runs them, checks them and times them."""
